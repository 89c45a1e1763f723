//! The capture time inside payloads.
//!
//! Every byte has its highest bit set, so that neither an H.264 start code nor an emulation
//! prevention byte can come about, and so that a stamp survives what a server may do to the bytes
//! around it (new picture ids, other packet borders).

/// Bytes of a stamp: four of magic, four of the run, eight of time.
pub(crate) const LEN: usize = 16;

const MAGIC: [u8; 4] = [0xd7, 0x9c, 0xe3, 0xb5];

/// How far from the front of a payload a stamp may begin: behind the longest headers, and a
/// packet that was cut anew by a server has none worth searching for.
pub(crate) const SEARCH: usize = 64;

/// Writes a stamp to the front of `out`, which holds at least [`LEN`] bytes.
///
/// `run` tells apart generators that publish at the same time; 28 bits of it count. `micros` are
/// taken modulo 2^56.
pub(crate) fn write(out: &mut [u8], run: u32, micros: u64) {
    out[..4].copy_from_slice(&MAGIC);
    for (index, byte) in out[4..8].iter_mut().enumerate() {
        *byte = 0x80 | (run >> (7 * index)) as u8;
    }
    for (index, byte) in out[8..LEN].iter_mut().enumerate() {
        *byte = 0x80 | (micros >> (7 * index)) as u8;
    }
}

/// The capture time in microseconds, where the payload carries one of this run.
pub(crate) fn find(payload: &[u8], run: u32) -> Option<u64> {
    let searched = payload.get(..SEARCH + LEN).unwrap_or(payload);
    let at = searched
        .windows(MAGIC.len())
        .position(|window| window == MAGIC)?;
    let stamp = searched.get(at + 4..at + LEN)?;
    let read = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0_u64, |value, byte| (value << 7) | u64::from(byte & 0x7f))
    };
    (read(&stamp[..4]) == u64::from(run & 0x0fff_ffff)).then(|| read(&stamp[4..]))
}

/// The capture time of the last stamp of this run in a file, in microseconds.
pub(crate) fn find_last(file: &[u8], run: u32) -> Option<u64> {
    let mut end = file.len();
    while let Some(at) = file[..end]
        .windows(MAGIC.len())
        .rposition(|window| window == MAGIC)
    {
        if let Some(micros) = find(&file[at..], run) {
            return Some(micros);
        }
        end = at;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found_at_any_place_near_the_front() {
        for at in [0, 4, 14, SEARCH] {
            let mut payload = vec![0x55; at + LEN + 30];
            write(&mut payload[at..], 0xfedc_ba98, 1_234_567_890_123);
            assert_eq!(find(&payload, 0xfedc_ba98), Some(1_234_567_890_123), "{at}");
            assert!(payload[at..at + LEN].iter().all(|byte| byte & 0x80 != 0));
        }
    }

    #[test]
    fn the_last_one_of_a_file_counts() {
        let mut file = vec![0x55; 500];
        write(&mut file[10..], 7, 1);
        write(&mut file[300..], 7, 2);
        write(&mut file[400..], 8, 3);
        file[490..494].copy_from_slice(&MAGIC);
        assert_eq!(find_last(&file, 7), Some(2));
        assert_eq!(find_last(&file, 9), None);
        assert_eq!(find_last(&[], 7), None);
    }

    #[test]
    fn stamps_of_others_and_broken_ones_are_not_taken() {
        let mut payload = [0x55; 40];
        write(&mut payload[4..], 7, 99);
        assert_eq!(find(&payload, 8), None);
        assert_eq!(find(&payload[..19], 7), None, "cut short");
        assert_eq!(find(&[], 7), None);
        assert_eq!(find(&[0; 100], 7), None);
        let mut far = vec![0x55; 200];
        write(&mut far[100..], 7, 99);
        assert_eq!(find(&far, 7), None);
    }
}
