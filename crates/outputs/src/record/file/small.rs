//! A file that tests keep in memory.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use super::Cut;

/// A file in memory, on a disk of so many bytes.
pub(super) struct Small {
    pub(super) bytes: Cursor<Vec<u8>>,
    pub(super) space: u64,
}

impl Read for Small {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(into)
    }
}

impl Seek for Small {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

impl Write for Small {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let left = self.space.saturating_sub(self.bytes.position());
        let fits = from.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if fits == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.write(&from[..fits])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Cut for Small {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).expect("the test's file is small");
        self.bytes.get_mut().truncate(len);
        Ok(())
    }

    fn durable(&mut self) -> io::Result<()> {
        Ok(())
    }
}
