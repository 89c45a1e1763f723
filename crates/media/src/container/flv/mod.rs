//! FLV tags with the Enhanced RTMP extensions, and AMF0.
