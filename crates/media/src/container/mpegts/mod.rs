//! MPEG transport streams (ISO/IEC 13818-1).
