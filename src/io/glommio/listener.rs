//! Accepts the connections of a core.
//!
//! On a core's thread. glommio's own `bind` always sets SO_REUSEPORT, and then a second broker on the same port goes unnoticed and takes half of the
//! connections: so sockets are bound here, and that option is set only where several cores share one port on purpose.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use glommio::net::TcpListener;

use super::host_error;
use super::pause::sleep;
use super::socket::Socket;
use crate::io::clock::monotonic_ns;

/// Connections that may wait to be accepted; the kernel lowers it to net.core.somaxconn.
const BACKLOG: libc::c_int = 4096;
/// How long a port may stay taken before that is reported, and how often to look.
const FREE_PORT_PATIENCE: Duration = Duration::from_secs(2);
const FREE_PORT_RETRY: Duration = Duration::from_millis(10);
/// How long to wait before the next attempt when the process has no descriptors left.
const RETRY: Duration = Duration::from_millis(100);

pub struct Listener {
    listener: TcpListener,
    local: SocketAddr,
}

/// Whether nobody listens on `address`, with or without SO_REUSEPORT. Blocking; to be asked once before several cores bind it with `share_port`.
///
/// Waits a moment for a port that is taken: the kernel takes the rings of a killed process apart after its end, so the broker that was killed a moment ago
/// still listens there.
///
/// # Errors
/// `AddrInUse`, and whatever else would keep a core from binding it.
pub fn check_port_is_free(address: SocketAddr) -> io::Result<()> {
    let give_up_ns = monotonic_ns() + FREE_PORT_PATIENCE.as_nanos() as u64;
    loop {
        match bind(address, false).map(drop) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && monotonic_ns() < give_up_ns => std::thread::sleep(FREE_PORT_RETRY),
            result => return result,
        }
    }
}

/// A port that is bound and on which nobody listens yet. Clients are refused as if it were free, and the kernel gives it to nobody who asks for any port.
pub struct ReservedPort {
    descriptor: OwnedFd,
    local: SocketAddr,
}

impl ReservedPort {
    /// Binds `address`; port 0 lets the kernel choose. `share_port` sets SO_REUSEPORT: every core of the process binds the same port and the kernel
    /// spreads connections over them.
    ///
    /// # Errors
    /// `AddrInUse` if somebody listens there, unless both share the port.
    pub fn bind(address: SocketAddr, share_port: bool) -> io::Result<ReservedPort> {
        // The address that was bound is read through the standard library, which needs no unsafe code for it.
        let socket = std::net::TcpListener::from(bind(address, share_port)?);
        let local = socket.local_addr()?;
        Ok(ReservedPort { descriptor: socket.into(), local })
    }

    /// What was bound, with the port that the kernel chose.
    pub fn local(&self) -> SocketAddr {
        self.local
    }
}

impl Listener {
    /// Listens on a port that was reserved.
    ///
    /// # Errors
    /// `AddrInUse` if somebody else has listened there since it was reserved (SO_REUSEADDR lets several bind it while none listens), unless both share
    /// the port.
    pub fn listen(reserved: ReservedPort) -> io::Result<Listener> {
        // SAFETY: plain integers on an open descriptor.
        if unsafe { libc::listen(reserved.descriptor.as_raw_fd(), BACKLOG) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `into_raw_fd` gives up the descriptor, so the listener is its only owner; it is a bound, listening TCP socket.
        let listener = unsafe { TcpListener::from_raw_fd(reserved.descriptor.into_raw_fd()) };
        Ok(Listener { listener, local: reserved.local })
    }

    /// The address that it listens on, with the port that the kernel chose.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Waits for the next connection. When descriptors or memory have run out it waits for better times, as do the connections in the backlog;
    /// `out_of_descriptors` is called each time, for the log.
    ///
    /// # Errors
    /// The listening socket itself is broken.
    pub async fn accept(&self, mut out_of_descriptors: impl FnMut(&io::Error)) -> io::Result<Socket> {
        loop {
            let error = match self.listener.accept().await {
                Ok(stream) => match Socket::new(stream) {
                    Ok(socket) => return Ok(socket),
                    // Reset before it was accepted: nobody is left to talk to.
                    Err(_) => continue,
                },
                Err(error) => host_error(error),
            };
            match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    out_of_descriptors(&error);
                    sleep(RETRY).await;
                }
                // accept(2): errors of the new connection, not of the listening socket.
                Some(libc::ECONNABORTED | libc::EINTR | libc::EAGAIN | libc::EPROTO | libc::EPERM) => {}
                Some(libc::ENETDOWN | libc::ENOPROTOOPT | libc::EHOSTDOWN | libc::EHOSTUNREACH | libc::ENETUNREACH) => {}
                _ => return Err(error),
            }
        }
    }
}

fn bind(address: SocketAddr, share_port: bool) -> io::Result<OwnedFd> {
    let domain = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: plain integers.
    let descriptor = unsafe { libc::socket(domain, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: socket(2) succeeded: it is open, and nobody else owns it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // A restart must not wait for connections of the last run to leave TIME_WAIT. It does not let two sockets listen (socket(7), on Linux).
    set_option(&descriptor, libc::SO_REUSEADDR)?;
    if share_port {
        set_option(&descriptor, libc::SO_REUSEPORT)?;
    }
    let status = match address {
        SocketAddr::V4(address) => {
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: the pointer is to a live sockaddr_in, and the length is its own.
            unsafe { libc::bind(descriptor.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as libc::socklen_t) }
        }
        SocketAddr::V6(address) => {
            let address = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: the pointer is to a live sockaddr_in6, and the length is its own.
            unsafe { libc::bind(descriptor.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as libc::socklen_t) }
        }
    };
    if status != 0 { Err(io::Error::last_os_error()) } else { Ok(descriptor) }
}

fn set_option(descriptor: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer is to a live int, and the length is its own.
    let status = unsafe {
        libc::setsockopt(descriptor.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const on).cast(), size_of_val(&on) as libc::socklen_t)
    };
    if status != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::glommio::run_here;
    use std::os::fd::AsFd;

    const ANY_PORT: &str = "127.0.0.1:0";

    fn listen(address: SocketAddr, share_port: bool) -> io::Result<Listener> {
        Listener::listen(ReservedPort::bind(address, share_port)?)
    }

    /// Of all who ask for any port at the same time, listeners and clients, none gets one that is reserved.
    #[test]
    fn a_reserved_port_is_given_to_nobody() {
        let mut reserved: Vec<ReservedPort> = (0..100).map(|_| ReservedPort::bind(ANY_PORT.parse().unwrap(), false).unwrap()).collect();
        let refused = std::net::TcpStream::connect(reserved[0].local()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "nobody listens yet");
        let server = std::net::TcpListener::bind(ANY_PORT).unwrap();
        let others: Vec<_> = (0..100)
            .map(|_| (std::net::TcpListener::bind(ANY_PORT).unwrap(), std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap()))
            .collect();
        run_here(async {
            for port in reserved.drain(..) {
                let local = port.local();
                let listener = Listener::listen(port).unwrap_or_else(|error| panic!("{local}: {error}"));
                assert_eq!(listener.local(), local);
            }
        });
        drop(others);
    }

    #[test]
    fn a_second_listener_on_a_port_is_noticed() {
        run_here(async {
            let listener = listen(ANY_PORT.parse().unwrap(), false).unwrap();
            for share_port in [false, true] {
                let error = listen(listener.local(), share_port).err().unwrap();
                assert_eq!(error.kind(), ErrorKind::AddrInUse, "share_port {share_port}");
            }
        });
    }

    #[test]
    fn cores_that_share_a_port_are_noticed_by_the_check() {
        run_here(async {
            let first = listen(ANY_PORT.parse().unwrap(), true).unwrap();
            let _second = listen(first.local(), true).unwrap();
            assert_eq!(check_port_is_free(first.local()).unwrap_err().kind(), ErrorKind::AddrInUse);
        });
    }

    /// The defect: glommio's own bind lets a second broker in.
    #[test]
    fn glommios_own_bind_does_not_notice() {
        run_here(async {
            let first = glommio::net::TcpListener::bind(ANY_PORT).unwrap();
            let second = glommio::net::TcpListener::bind(first.local_addr().unwrap());
            assert!(second.is_ok(), "glommio notices a second listener now: ReservedPort could go back to it");
        });
    }

    #[test]
    fn accepted_sockets_are_what_a_core_needs() {
        run_here(async {
            let listener = listen("[::1]:0".parse().unwrap(), false).or_else(|_| listen(ANY_PORT.parse().unwrap(), false)).unwrap();
            let client = std::net::TcpStream::connect(listener.local()).unwrap();
            let socket = listener.accept(|_| ()).await.unwrap();
            assert_eq!(socket.peer(), client.local_addr().unwrap());
            assert_eq!(socket.local(), listener.local());
            let descriptor = socket.as_fd().as_raw_fd();
            // SAFETY: plain integers on an open descriptor.
            let (flags, on_exec) = unsafe { (libc::fcntl(descriptor, libc::F_GETFL), libc::fcntl(descriptor, libc::F_GETFD)) };
            assert_ne!(flags & libc::O_NONBLOCK, 0);
            assert_ne!(on_exec & libc::FD_CLOEXEC, 0);
            let std_view = std::net::TcpStream::from(socket.as_fd().try_clone_to_owned().unwrap());
            assert!(std_view.nodelay().unwrap());
        });
    }
}
