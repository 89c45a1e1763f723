//! H.264 parameter sets for a claimed picture size (ITU-T H.264, 7.3.2).

/// `profile_idc`, constraint flags and level: constrained baseline 3.1, as browsers offer it.
pub(crate) const PROFILE_LEVEL: u32 = 0x42_e01f;

/// A picture parameter set with CAVLC, for the sequence parameter set of [`sps`].
pub(crate) const PPS: [u8; 4] = [0x68, 0xce, 0x38, 0x80];

/// Writes bits from the highest down.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    fn bits(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= (((value >> bit) & 1) as u8) << (7 - self.used % 8);
            self.used += 1;
        }
    }

    /// Exponential Golomb code, unsigned (9.1).
    fn ue(&mut self, value: u32) {
        let code = value + 1;
        let length = u32::BITS - code.leading_zeros();
        self.bits(0, length - 1);
        self.bits(code, length);
    }
}

/// A sequence parameter set, with its NAL header, for a picture of even width and height.
pub(crate) fn sps((width, height): (u32, u32)) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.bits(PROFILE_LEVEL, 24);
    bits.ue(0); // seq_parameter_set_id
    bits.ue(0); // log2_max_frame_num_minus4
    bits.ue(2); // pic_order_cnt_type: output in decoding order
    bits.ue(1); // max_num_ref_frames
    bits.bits(0, 1); // gaps_in_frame_num_value_allowed_flag
    let (columns, rows) = (width.div_ceil(16), height.div_ceil(16));
    bits.ue(columns - 1);
    bits.ue(rows - 1);
    bits.bits(1, 1); // frame_mbs_only_flag
    bits.bits(1, 1); // direct_8x8_inference_flag
    let (right, bottom) = ((columns * 16 - width) / 2, (rows * 16 - height) / 2);
    if right + bottom > 0 {
        bits.bits(1, 1);
        bits.ue(0);
        bits.ue(right);
        bits.ue(0);
        bits.ue(bottom);
    } else {
        bits.bits(0, 1);
    }
    bits.bits(0, 1); // vui_parameters_present_flag
    bits.bits(1, 1); // rbsp_stop_one_bit
    let mut nal = vec![0x67];
    let mut zeros = 0;
    for byte in bits.bytes {
        if zeros >= 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
    nal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_can_be_read_back() {
        for size in [
            (1280, 720),
            (1920, 1080),
            (640, 360),
            (16, 16),
            (8192, 4096),
        ] {
            let parsed = inver_media::codec::h264::sps(&sps(size)).expect("parses");
            assert_eq!(parsed.size, size);
        }
    }
}
