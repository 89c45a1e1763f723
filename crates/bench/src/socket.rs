//! One UDP socket of a peer connection.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;
use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

/// Kernel buffers asked for; the kernel may grant less (`net.core.rmem_max`). A keyframe and the
/// frames behind it must find room while other viewers are served.
const BUFFER: usize = 1 << 20;

/// A socket that receives with the kernel's offload and its timestamps.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) io: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    /// Binds any port of an address. With `gro` the kernel puts datagrams together.
    pub(crate) fn bind(ip: IpAddr, gro: bool) -> io::Result<Self> {
        let addr = SocketAddr::new(ip, 0);
        let raw = RawSocket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        raw.bind(&addr.into())?;
        raw.set_nonblocking(true)?;
        // Less than asked for still works, with less room for bursts.
        let _ = raw.set_recv_buffer_size(BUFFER);
        let _ = raw.set_send_buffer_size(BUFFER);
        let state = UdpSocketState::new(UdpSockRef::from(&raw))?;
        if !gro {
            setsockopt(&raw, sockopt::UdpGroSegment, &false)?;
        }
        Ok(Self {
            io: UdpSocket::from_std(raw.into()),
            state,
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Reads once. `Ok(0)`: nothing is there.
    pub(crate) fn receive(
        &self,
        buffers: &mut [Vec<u8>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        let mut slices: Vec<IoSliceMut<'_>> =
            buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        match self
            .state
            .recv(UdpSockRef::from(&self.io), &mut slices, metas)
        {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Sends one datagram. `false`: the kernel did not take it.
    pub(crate) fn send(&self, destination: SocketAddr, contents: &[u8]) -> bool {
        self.io.send_to(contents, destination).is_ok()
    }
}
