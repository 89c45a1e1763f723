//! Binds addresses, and explains to people why one could not be bound.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::config::Listen;

/// Connections that the kernel holds until they are accepted. Less would refuse some when hundreds
/// of viewers come back at once; more than the kernel's own bound has no effect.
const BACKLOG: i32 = 1024;

/// An address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({key}): {}", explain(.source, .address, .flag))]
pub struct Error {
    /// The address.
    pub address: Listen,
    /// The key that names it.
    pub key: &'static str,
    /// The flag that overrides the key, where there is one.
    pub flag: Option<&'static str>,
    /// What the system said.
    pub source: io::Error,
}

fn explain(error: &io::Error, address: &Listen, flag: &Option<&'static str>) -> String {
    let mut other = address.0;
    other.set_port(match other.port() {
        0..1024 => 8443,
        port => port.checked_add(1).unwrap_or(8080),
    });
    let choose = match flag {
        Some(flag) => format!("choose another one with {flag} {other} or in the configuration"),
        None => "choose another one in the configuration".to_owned(),
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another program holds port {}; stop it, or {choose}",
                address.0.port()
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 need a permission (AmbientCapabilities=CAP_NET_BIND_SERVICE in a \
             systemd unit, or setcap cap_net_bind_service=+ep on the program); or {choose}"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "this machine does not have the address {}; {choose}",
                address.0.ip()
            )
        }
        _ => format!("{error}; {choose}"),
    }
}

/// What the kernel keeps of datagrams that are not read or sent yet; it gives as much as the system
/// allows. Keyframes of a few dozen publishers at once.
const UDP_BUFFER: usize = 4 << 20;

/// Binds one address. `[::]` takes IPv4 too, and stands for `0.0.0.0` where there is no IPv6.
///
/// # Errors
/// The address is taken, forbidden or not of this machine.
pub fn bind(
    address: Listen,
    key: &'static str,
    flag: Option<&'static str>,
) -> Result<TcpListener, Error> {
    let bound = match socket(address.0) {
        Err(error) if address.0.ip().is_unspecified() && lacks_ipv6(&error) => {
            socket(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.0.port())))
        }
        result => result,
    };
    bound.map_err(|source| Error {
        address,
        key,
        flag,
        source,
    })
}

/// Binds one UDP address, as [`bind`] does for TCP.
///
/// # Errors
/// The address is taken, forbidden or not of this machine.
pub fn bind_udp(address: Listen, key: &'static str) -> Result<UdpSocket, Error> {
    let bound = match datagrams(address.0) {
        Err(error) if address.0.ip().is_unspecified() && lacks_ipv6(&error) => {
            datagrams(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.0.port())))
        }
        result => result,
    };
    bound.map_err(|source| Error {
        address,
        key,
        flag: None,
        source,
    })
}

fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    // Less than asked for still works, with less room for bursts.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER);
    let _ = socket.set_send_buffer_size(UDP_BUFFER);
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for the last connections' TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_explained() {
        let first = bind(
            Listen(([127, 0, 0, 1], 0).into()),
            "server.listen",
            Some("--listen"),
        )
        .expect("a free port");
        let taken = Listen(first.local_addr().expect("is bound"));
        let error = bind(taken, "server.listen", Some("--listen")).expect_err("is taken");
        let text = error.to_string();
        assert!(text.contains(&taken.to_string()), "{text}");
        assert!(
            text.contains("server.listen") && text.contains("--listen 127.0.0.1:"),
            "{text}"
        );
        assert!(text.contains("another program holds port"), "{text}");
    }

    #[tokio::test]
    async fn all_addresses_take_ipv4_and_ipv6() {
        let listener = bind(":0".parse().expect("valid"), "server.listen", None).expect("binds");
        let port = listener.local_addr().expect("is bound").port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .expect("over IPv4");
    }
}
