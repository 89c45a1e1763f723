//! Numbers that wrap on the wire, unrolled to 64 bits inside, so that nothing else in this
//! protocol has to think of wrapping.

/// Sequence numbers have 31 bits on the wire.
const SEQUENCE_MASK: u32 = 0x7fff_ffff;

/// Message numbers have 26 bits on the wire and skip 0.
const MESSAGE_COUNT: u64 = 0x03ff_ffff;

/// The unrolled form of a first sequence number: far enough above zero that earlier numbers exist.
pub(super) fn first(wire: u32) -> u64 {
    (1 << 31) + u64::from(wire & SEQUENCE_MASK)
}

/// The unrolled number nearest to `reference` whose low 31 bits are `wire`.
pub(super) fn unroll(reference: u64, wire: u32) -> u64 {
    let distance = wire.wrapping_sub(to_wire(reference)) & SEQUENCE_MASK;
    // Bit 30 is the sign of a distance of 31 bits.
    let distance = i64::from((distance << 1).cast_signed() >> 1);
    reference.saturating_add_signed(distance)
}

/// What travels for an unrolled sequence number.
pub(super) fn to_wire(sequence: u64) -> u32 {
    u32::try_from(sequence & u64::from(SEQUENCE_MASK)).expect("31 bits fit")
}

/// The wire's message number of the `index`th message, counted from 0.
pub(super) fn message(index: u64) -> u32 {
    u32::try_from(index % MESSAGE_COUNT + 1).expect("26 bits fit")
}

/// The unrolled microseconds nearest to `reference` whose low 32 bits are `wire`.
pub(super) fn unroll_timestamp(reference: u64, wire: u32) -> u64 {
    let low = u32::try_from(reference & u64::from(u32::MAX)).expect("32 bits fit");
    let distance = i64::from(wire.wrapping_sub(low).cast_signed());
    reference.saturating_add_signed(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_number_unrolls_to_the_nearest_in_both_directions() {
        let start = first(0x7fff_fffe);
        assert_eq!(unroll(start, 0x7fff_fffe), start);
        assert_eq!(unroll(start, 1), start + 3);
        assert_eq!(unroll(start + 3, 0x7fff_fffe), start);
        assert_eq!(to_wire(start + 2), 0);
        assert_eq!(unroll(first(0), 0x7fff_ffff), first(0) - 1);
        assert_eq!(unroll(start, 0x3fff_fffd), start + 0x3fff_ffff);
    }

    #[test]
    fn message_numbers_skip_zero_when_they_wrap() {
        assert_eq!(message(0), 1);
        assert_eq!(message(0x03ff_fffe), 0x03ff_ffff);
        assert_eq!(message(0x03ff_ffff), 1);
    }

    #[test]
    fn a_timestamp_unrolls_across_its_wrap() {
        let reference = (1 << 32) + 0xffff_fff0;
        assert_eq!(unroll_timestamp(reference, 0x10), reference + 0x20);
        assert_eq!(unroll_timestamp(reference + 0x20, 0xffff_fff0), reference);
    }
}
