//! AV1 temporal units as FLV brings them, in the one shape that frames have.

use crate::codec::av1;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// A temporal unit with a size field in each OBU, without delimiters and padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) data: Vec<u8>,
    /// The last sequence header in it, with header and size field.
    pub(super) sequence_header: Option<Vec<u8>>,
}

/// Takes a temporal unit in the low overhead format; only its last OBU may lack a size field.
/// `None` where an OBU reaches past the end.
pub(super) fn normalize(data: &[u8]) -> Option<Unit> {
    let mut unit = Unit {
        data: Vec::with_capacity(data.len() + 8),
        sequence_header: None,
    };
    let mut seen = 0;
    for obu in av1::obus(data) {
        seen += obu.len();
        let header = *obu.first()?;
        let obu_type = (header >> 3) & 0x0f;
        if matches!(obu_type, TEMPORAL_DELIMITER | TILE_LIST | PADDING) {
            continue;
        }
        let start = unit.data.len();
        if header & 0x02 != 0 {
            unit.data.extend_from_slice(obu);
        } else {
            let (head, body) = obu.split_at_checked(if header & 0x04 != 0 { 2 } else { 1 })?;
            unit.data.extend_from_slice(head);
            if let Some(first) = unit.data.get_mut(start) {
                *first |= 0x02;
            }
            push_leb128(&mut unit.data, body.len());
            unit.data.extend_from_slice(body);
        }
        if obu_type == SEQUENCE_HEADER {
            let obu = unit.data.get(start..).unwrap_or_default();
            if av1::sequence_header(obu).is_some() {
                unit.sequence_header = Some(obu.to_vec());
            }
        }
    }
    (seen == data.len()).then_some(unit)
}

fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_leave_and_sizes_come() {
        let data = [&[0x12, 0][..], &[0x32, 2, 7, 8], &[0x30, 9, 9]].concat();
        let unit = normalize(&data).expect("whole OBUs");
        assert_eq!(unit.data, [0x32, 2, 7, 8, 0x32, 2, 9, 9]);
        let long = [&[0x30][..], &[5; 300]].concat();
        let unit = normalize(&long).expect("a whole OBU");
        assert_eq!(unit.data[..4], [0x32, 0xac, 0x02, 5]);
        assert_eq!(unit.data.len(), 303);
    }

    #[test]
    fn what_reaches_past_the_end_is_refused() {
        assert_eq!(normalize(&[0x32, 9, 1]), None);
        assert_eq!(normalize(&[0x32, 1, 1, 0x32, 0xff]), None);
    }
}
