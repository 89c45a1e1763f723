//! Writes transport-wide feedback as a receiver does.

/// Arrivals in microseconds of the receiver's clock, by position from `base`; `None` for missing
/// packets. The first one must have arrived.
pub(super) fn encode(base: u16, arrivals: &[Option<i64>], number: u8) -> Vec<u8> {
    let first = arrivals
        .iter()
        .flatten()
        .next()
        .copied()
        .expect("something arrived");
    let reference = first.div_euclid(64_000);
    let mut body = Vec::new();
    body.extend(base.to_be_bytes());
    body.extend(u16::try_from(arrivals.len()).expect("fits").to_be_bytes());
    body.extend(&(reference as u32).to_be_bytes()[1..]);
    body.push(number);
    let mut last = reference * 256;
    let mut deltas = Vec::new();
    let statuses: Vec<u16> = arrivals
        .iter()
        .map(|arrival| {
            let Some(arrival) = arrival else { return 0 };
            let ticks = arrival.div_euclid(250);
            let delta = ticks - last;
            last = ticks;
            if let Ok(small) = u8::try_from(delta) {
                deltas.push(small);
                1
            } else {
                deltas.extend(
                    i16::try_from(delta)
                        .expect("fits in feedback")
                        .to_be_bytes(),
                );
                2
            }
        })
        .collect();
    // Long runs as runs, short ones as vectors of two bits, or of one where no delta is large.
    let mut rest = statuses.as_slice();
    while let Some(&status) = rest.first() {
        let run = rest
            .iter()
            .take_while(|other| **other == status)
            .count()
            .min(8191);
        let narrow = rest.iter().take(14).all(|status| *status < 2);
        if run >= 14 || run == rest.len() {
            body.extend((status << 13 | run as u16).to_be_bytes());
            rest = &rest[run..];
        } else {
            let (length, bits, mark) = if narrow {
                (14, 1, 0x8000)
            } else {
                (7, 2, 0xc000_u16)
            };
            let symbols = (0..length).fold(0_u16, |symbols, position| {
                symbols << bits | rest.get(position).copied().unwrap_or(0)
            });
            body.extend((mark | symbols).to_be_bytes());
            rest = &rest[length.min(rest.len())..];
        }
    }
    body.extend(deltas);
    while body.len() % 4 != 0 {
        body.push(0);
    }
    body
}
