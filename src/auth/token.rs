//! A token's outer form: a compact JWS (RFC 7515), read strictly. Nothing here is believed yet.
//! Of the header only `alg`, `kid` and `crit` are read: keys and addresses that a token brings
//! along (`jwk`, `jku`, `x5u`, `x5c`) are the bearer's word and count for nothing.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

use super::json::{self, Object};
use super::{AuthError, Fingerprint};

/// Longest token in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A token taken apart. Not `Debug`: nothing shall print it.
pub(super) struct Token<'a> {
    /// The algorithm that it claims: looked up in what its key allows, never followed.
    pub(super) algorithm: Algorithm,
    /// Which key it claims.
    pub(super) key_id: Option<String>,
    /// Its claims' JSON.
    pub(super) claims: String,
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Token<'a> {
    /// Takes `token` apart.
    pub(super) fn parse(token: &'a str) -> Result<Self, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong {
                limit: MAX_TOKEN_BYTES,
            });
        }
        let malformed = |why| AuthError::Malformed { why };
        let (header, claims, signature) =
            segments(token).ok_or(malformed("it does not have three segments"))?;
        let header = decode(header).ok_or(malformed("its header is not base64url of text"))?;
        let header = Object::parse(&header).ok_or(malformed(
            "its header is not a JSON object with unique names",
        ))?;
        // We understand no extension, so none may be critical (RFC 7515, 4.1.11).
        if header.has("crit") {
            return Err(malformed("its header names a critical extension"));
        }
        let algorithm = header.get("alg").and_then(json::string);
        let algorithm = algorithm.ok_or(malformed("its header has no `alg`"))?;
        let key_id = header.get("kid").map(|kid| json::string(kid).ok_or(kid));
        let key_id = key_id
            .transpose()
            .map_err(|_| malformed("`kid` is not a string"))?;
        Ok(Self {
            algorithm: algorithm.parse().map_err(|_| AuthError::Algorithm)?,
            key_id,
            claims: decode(claims).ok_or(malformed("its claims are not base64url of text"))?,
            signed: &token[..token.len() - signature.len() - 1],
            signature,
        })
    }

    /// What is signed: header and claims as they came.
    pub(super) fn signed(&self) -> &'a str {
        self.signed
    }

    /// The signature, in base64url.
    pub(super) fn signature(&self) -> &'a str {
        self.signature
    }

    /// Names the token by what is signed. The signature stays out of it, because an ECDSA
    /// signature can be turned into another valid one without the key, which must not make a
    /// revoked token new.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut half = Fingerprint::default();
        let whole = digest(&SHA256, self.signed.as_bytes());
        half.copy_from_slice(&whole.as_ref()[..16]);
        half
    }
}

/// Header, claims and signature, none of them empty.
pub(super) fn segments(token: &str) -> Option<(&str, &str, &str)> {
    let mut parts = token.split('.');
    let segments = (parts.next()?, parts.next()?, parts.next()?);
    let full = !segments.0.is_empty() && !segments.1.is_empty() && !segments.2.is_empty();
    (full && parts.next().is_none()).then_some(segments)
}

/// Text in base64url, without padding and with no bits left over: one spelling for each text.
pub(super) fn decode(segment: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(segment).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn with_header(header: &str) -> Result<(Algorithm, Option<String>), AuthError> {
        let token = format!("{}.{}.c2ln", encode(header), encode("{}"));
        Token::parse(&token).map(|token| (token.algorithm, token.key_id))
    }

    #[test]
    fn only_three_segments_in_canonical_base64url_are_a_token() {
        let (header, claims) = (encode(r#"{"alg":"HS256"}"#), encode("{}"));
        let good = format!("{header}.{claims}.c2ln");
        assert!(Token::parse(&good).is_ok());
        let json = format!(r#"{{"payload":"{claims}","protected":"{header}","signature":"c2ln"}}"#);
        for bad in [
            String::new(),
            ".".into(),
            "..".into(),
            format!("{header}.{claims}"),
            format!("{header}.{claims}."),
            format!(".{claims}.c2ln"),
            format!("{header}..c2ln"),
            format!("{good}.c2ln"),
            format!("{good}.c2ln.c2ln"),
            format!("{header}=.{claims}.c2ln"),
            format!("{header}.{claims}=.c2ln"),
            format!(" {good}"),
            format!("{header}\n.{claims}.c2ln"),
            format!("{header}. {claims}.c2ln"),
            json,
            // `e30` is `{}`; these spell it with bits left over, or in the other alphabet.
            format!("{header}.e31.c2ln"),
            format!(
                "{}.e30.c2ln",
                encode(r#"{"alg":"HS256","x":"???"}"#).replace('_', "/")
            ),
            format!("{}.e30.c2ln", encode("\u{fffd}").replace("77-9", "_w")),
        ] {
            let result = Token::parse(&bad).map(|token| token.claims);
            assert!(
                matches!(result, Err(AuthError::Malformed { .. })),
                "{bad}: {result:?}"
            );
        }
    }

    #[test]
    fn a_token_over_8_kib_is_refused_before_it_is_decoded() {
        let longest = format!("{}.{}.c2ln", encode(r#"{"alg":"HS256"}"#), "A".repeat(8166));
        assert_eq!(longest.len(), MAX_TOKEN_BYTES);
        assert!(Token::parse(&longest).is_ok());
        let longer = "x".repeat(MAX_TOKEN_BYTES + 1);
        assert_eq!(
            Token::parse(&longer).err(),
            Some(AuthError::TooLong { limit: 8192 })
        );
    }

    #[test]
    fn a_header_says_an_algorithm_that_exists() {
        for name in crate::auth::ALGORITHM_NAMES {
            assert!(
                with_header(&format!(r#"{{"alg":"{name}"}}"#)).is_ok(),
                "{name}"
            );
        }
        for name in [
            "none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS1", "ES512", "ES256K", "dir",
        ] {
            let header = format!(r#"{{"alg":"{name}"}}"#);
            assert_eq!(with_header(&header), Err(AuthError::Algorithm), "{name}");
        }
        for bad in [
            "{}",
            r#"{"alg":null}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"alg":"HS256","alg":"none"}"#,
            r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
            r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
            r#"{"alg":"HS256","kid":7}"#,
            r#"{"alg":"HS256","kid":null}"#,
            r#"{"alg":"HS256","typ":"JWT","typ":"JWT"}"#,
            r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
            r#"{"alg":"HS256","crit":[]}"#,
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
            r#"[{"alg":"HS256"}]"#,
            r#"{"alg":"HS256"}{}"#,
            "HS256",
        ] {
            let result = with_header(bad);
            assert!(
                matches!(result, Err(AuthError::Malformed { .. })),
                "{bad}: {result:?}"
            );
        }
        let odd = r#"{"alg":"HS256","kid":"../../x\u0000' OR 1=1 --"}"#;
        assert_eq!(with_header(odd).unwrap().1.unwrap(), "../../x\0' OR 1=1 --");
    }

    #[test]
    fn the_fingerprint_names_what_is_signed() {
        let fingerprint = |token: &str| Token::parse(token).unwrap().fingerprint();
        let head = encode(r#"{"alg":"ES256"}"#);
        assert_eq!(
            fingerprint(&format!("{head}.e30.AAAA")),
            fingerprint(&format!("{head}.e30.BBBB"))
        );
        assert_ne!(
            fingerprint(&format!("{head}.e30.AAAA")),
            fingerprint(&format!("{head}.W10.AAAA"))
        );
    }
}
