//! The PROXY protocol, versions 1 and 2: bytes in, the client's address out. The parser never asks
//! for a byte beyond the header, so that what follows stays in the socket for TLS or HTTP, and it
//! refuses what is longer than its bounds before reading it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest header of version 1, its CRLF included, by the specification.
const V1_MAX: usize = 107;
/// The shortest: `PROXY UNKNOWN` and CRLF.
const V1_MIN: usize = 15;
const V1_PREFIX: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;
/// Addresses and TLVs of version 2; the format would allow 64 KiB.
const V2_MAX_BODY: usize = 4096;

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Read exactly so many more bytes.
    Read(usize),
    /// The header is complete. `None`: the proxy speaks for itself (a health check), or does not
    /// say for whom.
    Done(Option<IpAddr>),
}

/// Not a header that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no valid PROXY protocol header")]
pub(super) struct Malformed;

/// Reads `bytes`, all that was read so far.
pub(super) fn parse(bytes: &[u8]) -> Result<Step, Malformed> {
    let start = bytes.get(..V2_SIGNATURE.len());
    match start {
        None if starts_alike(bytes, V1_PREFIX) || starts_alike(bytes, V2_SIGNATURE) => {
            Ok(Step::Read(V2_SIGNATURE.len() - bytes.len()))
        }
        Some(start) if start == V2_SIGNATURE => version_2(bytes),
        Some(start) if start.starts_with(V1_PREFIX) => version_1(bytes),
        _ => Err(Malformed),
    }
}

fn starts_alike(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.iter().zip(prefix).all(|(one, other)| one == other)
}

fn version_1(bytes: &[u8]) -> Result<Step, Malformed> {
    if bytes.len() < V1_MIN {
        return Ok(Step::Read(V1_MIN - bytes.len()));
    }
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        return match bytes {
            _ if bytes.len() >= V1_MAX => Err(Malformed),
            // What ends in CR may be complete with one byte; else it lacks CR and LF both.
            [.., b'\r'] => Ok(Step::Read(1)),
            _ => Ok(Step::Read(2.min(V1_MAX - bytes.len()))),
        };
    };
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = line.split(' ').skip(1);
    let mut word = || words.next().ok_or(Malformed);
    let family = word()?;
    if family == "UNKNOWN" {
        return Ok(Step::Done(None));
    }
    let (source, destination) = (word()?, word()?);
    let (source_port, destination_port) = (word()?, word()?);
    if words.next().is_some() || !is_port(source_port) || !is_port(destination_port) {
        return Err(Malformed);
    }
    let address = match family {
        "TCP4" => both::<Ipv4Addr>(source, destination)?.into(),
        "TCP6" => both::<Ipv6Addr>(source, destination)?.into(),
        _ => return Err(Malformed),
    };
    Ok(Step::Done(Some(address)))
}

/// The source, if both are addresses of the family.
fn both<T: std::str::FromStr>(source: &str, destination: &str) -> Result<T, Malformed> {
    let source = source.parse().map_err(|_| Malformed)?;
    destination.parse::<T>().map_err(|_| Malformed)?;
    Ok(source)
}

fn is_port(word: &str) -> bool {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = word == "0" || !word.starts_with('0');
    digits && canonical && word.parse::<u16>().is_ok()
}

fn version_2(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some((fixed, body)) = bytes.split_first_chunk::<V2_FIXED>() else {
        return Ok(Step::Read(V2_FIXED - bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_MAX_BODY || command >> 4 != 2 {
        return Err(Malformed);
    }
    if body.len() < length {
        return Ok(Step::Read(length - body.len()));
    }
    match command & 0x0f {
        0 => return Ok(Step::Done(None)),
        1 => {}
        _ => return Err(Malformed),
    }
    // Both addresses and both ports come first, then TLVs, which say nothing that we need.
    let address = match family {
        0x11 => Some(IpAddr::from(*body.first_chunk::<4>().ok_or(Malformed)?)),
        0x21 => Some(IpAddr::from(*body.first_chunk::<16>().ok_or(Malformed)?)),
        // UNSPEC, and Unix sockets, which have no address.
        0x00 | 0x31 => None,
        _ => return Err(Malformed),
    };
    let least = match family {
        0x11 => 12,
        0x21 => 36,
        _ => 0,
    };
    if length < least {
        return Err(Malformed);
    }
    Ok(Step::Done(address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `bytes` as a socket would: exactly what is asked for. How many were taken, and what
    /// came out.
    fn feed(bytes: &[u8]) -> (usize, Option<Result<Option<IpAddr>, Malformed>>) {
        let mut taken = 0;
        loop {
            match parse(&bytes[..taken]) {
                Ok(Step::Done(address)) => return (taken, Some(Ok(address))),
                Err(error) => return (taken, Some(Err(error))),
                Ok(Step::Read(more)) => {
                    assert!(more > 0);
                    taken += more;
                    assert!(taken <= V2_FIXED + V2_MAX_BODY);
                    if taken > bytes.len() {
                        return (taken, None);
                    }
                }
            }
        }
    }

    fn done(bytes: &[u8]) -> Option<IpAddr> {
        let mut followed = bytes.to_vec();
        followed.extend(b"GET / HTTP/1.1\r\n");
        let (taken, outcome) = feed(&followed);
        assert_eq!(taken, bytes.len(), "takes the header and nothing else");
        outcome.unwrap().unwrap()
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn version_1_names_the_client() {
        for (line, address) in [
            (
                "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n",
                Some("192.0.2.1"),
            ),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 0 65535\r\n", Some("1.1.1.1")),
            ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", Some("2001:db8::1")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        ] {
            assert_eq!(
                done(line.as_bytes()),
                address.map(|text| text.parse().unwrap()),
                "{line}"
            );
        }
    }

    #[test]
    fn version_1_refuses_the_rest() {
        for line in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711 65536\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 04711 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 +1 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
            "PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 nowhere 1 2\r\n",
            "PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP4 \u{fffd} 10.0.0.1 1 2\r\n",
            "proxy tcp4 192.0.2.1 10.0.0.1 1 2\r\n",
        ] {
            assert_eq!(feed(line.as_bytes()).1, Some(Err(Malformed)), "{line}");
        }
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 500]].concat();
        assert_eq!(feed(&endless), (V1_MAX, Some(Err(Malformed))));
    }

    #[test]
    fn version_2_names_the_client() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0, 80, 1, 187];
        let with_tlv = [v4.as_slice(), &[4, 0, 1, 7]].concat();
        let mut v6 = [0; 36];
        v6[15] = 1;
        assert_eq!(
            done(&v2(0x21, 0x11, &v4)),
            Some("192.0.2.1".parse().unwrap())
        );
        assert_eq!(
            done(&v2(0x21, 0x11, &with_tlv)),
            Some("192.0.2.1".parse().unwrap())
        );
        assert_eq!(done(&v2(0x21, 0x21, &v6)), Some("::1".parse().unwrap()));
        assert_eq!(done(&v2(0x20, 0x00, &[])), None, "LOCAL");
        assert_eq!(done(&v2(0x20, 0x11, &v4)), None, "LOCAL ignores addresses");
        assert_eq!(done(&v2(0x21, 0x00, &[1, 2, 3])), None, "UNSPEC");
        assert_eq!(done(&v2(0x21, 0x31, &[0; 216])), None, "a Unix socket");
    }

    #[test]
    fn version_2_refuses_the_rest() {
        for bytes in [
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x12, &[0; 12]),
            v2(0x21, 0x41, &[0; 12]),
            v2(0x21, 0x11, &[0; V2_MAX_BODY + 1]),
        ] {
            assert_eq!(feed(&bytes).1, Some(Err(Malformed)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_within_bounds(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            feed(&bytes);
            feed(&[V2_SIGNATURE.as_slice(), &bytes].concat());
            feed(&[V1_PREFIX, &bytes].concat());
        }

        #[test]
        fn every_client_is_read_back(source in any::<IpAddr>(), port in any::<u16>()) {
            let (family, code, mut body) = match source {
                IpAddr::V4(address) => ("TCP4", 0x11, address.octets().to_vec()),
                IpAddr::V6(address) => ("TCP6", 0x21, address.octets().to_vec()),
            };
            let line = format!("PROXY {family} {source} {source} {port} {port}\r\n");
            prop_assert_eq!(done(line.as_bytes()), Some(source));
            body.extend_from_within(..);
            body.extend([0; 4]);
            prop_assert_eq!(done(&v2(0x21, code, &body)), Some(source));
        }
    }
}
