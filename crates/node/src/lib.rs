//! The shell: joins control, shards and the durable store into one handle for the doors.
