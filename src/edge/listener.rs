//! What a listening socket hands on to those it accepts, so that none costs a call of its own.

use std::io;
use std::os::fd::AsFd;

use socket2::SockRef;

/// Has the kernel take no more for a connection than `bytes` beyond what is on its way: what waits
/// stays in the mailbox, where the slow policy sees it. Without it the kernel takes up to
/// `net.ipv4.tcp_wmem`'s 4 MiB for each who does not read.
///
/// # Errors
/// The system refuses.
pub fn limit_unsent(listener: &impl AsFd, bytes: usize) -> io::Result<()> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    set(&SockRef::from(listener), bytes)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set(socket: &SockRef<'_>, bytes: u32) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(bytes)
}

/// Elsewhere the send buffer's own bound has to do.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set(_: &SockRef<'_>, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn whoever_is_accepted_inherits_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        limit_unsent(&listener, 12_345).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let inherited = SockRef::from(&accepted).tcp_notsent_lowat().unwrap();
        assert_eq!(inherited, 12_345);
    }
}
