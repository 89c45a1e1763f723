//! Binds the socket and publishes whenever data comes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use inver_node::Handle;
use inver_proto::RoomId;
use inver_sockets::Stop;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tracing::Instrument;

use super::session;

/// What the kernel keeps of datagrams that are not read yet; a keyframe of 4K at once. It gives as
/// much as the system allows.
const SOCKET_BUFFER: usize = 4 << 20;

/// Publishes into `room` what comes to `bind`, from the first datagram of a stream until nothing
/// came for five seconds, and again, until the stop. With `group`, a multicast address that is
/// joined on the interface that the system chooses.
///
/// # Errors
/// The address cannot be bound, or the group not joined.
pub async fn serve(
    handle: Handle,
    room: RoomId,
    bind: SocketAddr,
    group: Option<IpAddr>,
    stop: Stop,
) -> io::Result<()> {
    let socket = open(bind, group)?;
    let span = tracing::info_span!("udp_ts", %room, %bind);
    session::serve(&socket, &handle, &room, stop)
        .instrument(span)
        .await
}

fn open(bind: SocketAddr, group: Option<IpAddr>) -> io::Result<UdpSocket> {
    if group.is_some_and(|group| !group.is_multicast()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the group is no multicast address: 224.0.0.0 to 239.255.255.255, or ff00::/8",
        ));
    }
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if group.is_some() {
        // Several programs may listen to one group.
        socket.set_reuse_address(true)?;
    }
    if let Err(error) = socket.set_recv_buffer_size(SOCKET_BUFFER) {
        tracing::debug!(%error, "the socket's buffer keeps its size");
    }
    socket.bind(&bind.into())?;
    match group {
        None => {}
        Some(IpAddr::V4(group)) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?,
        Some(IpAddr::V6(group)) => socket.join_multicast_v6(&group, 0)?,
    }
    UdpSocket::from_std(socket.into())
}
