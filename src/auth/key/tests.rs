//! Which texts are keys, and for what.

use super::*;
use crate::auth::fixture::{
    ED25519, P256, P384, RSA, claims, forge, hs256, pair_for, secret, token_by,
};
use crate::auth::{ALGORITHM_NAMES, MAX_TOKEN_BYTES};
use serde_json::json;

const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDvX7MbNti4wadE9UBLRmVnpX/J
nUjW5Ss3WeKbqYQfNSIvVYZM96wezTSneJKBUOUbmks7CWCFR59CHXz3m/kvaxvG
i3qQWCal5C9z142x0+T5hkuufB+fa3F4ZKpmjCPghNjgf07N+p3U84XSW/PtDK8z
VkeXd1zOzOCLivBCGwIDAQAB
-----END PUBLIC KEY-----";
const SECP256K1: &str = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEDa6wzm5weBCkx5FVwcoO61FTudPkSccz
roh2caGrVkC0vLtAIcMpkJ7Px/zYaooniN71qvRqov7KyQUP2kAq4g==
-----END PUBLIC KEY-----";
const P521: &str = "-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAyyakN2y59hq4TvgPWMLnGPFIU7KC
2dSJEqDSUAtAnLeMr9jW1/IjVK6J0E3S1ygeVt3Jpncv3QW7Abj0Av4hKmsBxJNZ
i2q6AEgZhvTahE0W6V5OXHOlhhEmCGuuqbxLr0PM8vcaePyxeX0SwjykSd5w5cEH
AcExKLihdhs4HwTVYyw=
-----END PUBLIC KEY-----";
const X25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEALtO4W7uEHbovexkVNh8PUBH4js6mU47a3Ge5jUsjmhM=
-----END PUBLIC KEY-----";
const ED448: &str = "-----BEGIN PUBLIC KEY-----
MEMwBQYDK2VxAzoAHY7VmH2t4h/N8PxI0f3eK4QWffzsPC20H/8aH1UqlCCeh4hY
Ff1/bkGrutUK93T+M8Of98k+sGSA
-----END PUBLIC KEY-----";

fn verifies(key: &VerifyKey, token: &str) -> bool {
    key.verifies(&Token::parse(token).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn a_pem_key_takes_the_algorithms_of_its_type_and_no_others() {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    for (pair, takes) in [
        (&*RSA, vec![RS256, RS384, RS512, PS256, PS384, PS512]),
        (&*P256, vec![ES256]),
        (&*P384, vec![ES384]),
        (&*ED25519, vec![EdDSA]),
    ] {
        let key = VerifyKey::from_pem(&pair.public).unwrap();
        assert_eq!(key.algorithms(), takes);
        for algorithm in takes {
            assert!(verifies(
                &key,
                &token_by(pair, algorithm, None, &claims(json!({})))
            ));
        }
    }
}

#[test]
fn a_key_that_is_kept_for_one_algorithm_verifies_no_other() {
    let key = VerifyKey::from_pem(&RSA.public)
        .unwrap()
        .only_for(Algorithm::PS256)
        .unwrap();
    let by = |algorithm| token_by(&RSA, algorithm, None, &claims(json!({})));
    assert!(verifies(&key, &by(Algorithm::PS256)));
    assert!(!verifies(&key, &by(Algorithm::RS256)) && !verifies(&key, &by(Algorithm::PS512)));
    assert!(key.only_for(Algorithm::RS256).is_none());
}

#[test]
fn no_key_verifies_a_token_of_another_or_a_changed_one() {
    let body = claims(json!({}));
    let mut keys = vec![VerifyKey::from_secret(crate::auth::fixture::SECRET).unwrap()];
    let pairs = [&*RSA, &*P256, &*P384, &*ED25519];
    keys.extend(pairs.map(|pair| VerifyKey::from_pem(&pair.public).unwrap()));
    for name in ALGORITHM_NAMES {
        let algorithm: Algorithm = name.parse().unwrap();
        let token = if name.starts_with("HS") {
            let header = json!({ "alg": name }).to_string();
            forge(
                &header,
                &body,
                &secret(crate::auth::fixture::SECRET),
                algorithm,
            )
        } else {
            token_by(pair_for(algorithm), algorithm, None, &body)
        };
        let good = keys.iter().filter(|key| verifies(key, &token)).count();
        assert_eq!(good, 1, "{name}");
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let changed = |from: char, to: char| {
            let last = signature.chars().next().unwrap();
            signature.replacen(last, &if last == from { to } else { from }.to_string(), 1)
        };
        for bad in [
            format!("{signed}.{}", changed('A', 'B')),
            format!("{signed}.{}", &signature[..signature.len() - 4]),
            format!("{signed}.{signature}AAAA"),
            format!("{signed}.{signature}="),
            format!("{signed}.{signature}\n"),
            format!("{signed}.AAAA"),
            format!("{signed}.{}", "A".repeat(signature.len())),
            format!("{}.{}", signed.replacen('.', "A.", 1), signature),
        ] {
            let Ok(bad) = Token::parse(&bad) else {
                continue;
            };
            assert!(!keys.iter().any(|key| key.verifies(&bad)), "{name}");
        }
    }
}

#[test]
fn a_token_without_a_signature_is_no_token() {
    let token = hs256(&claims(json!({})));
    let (signed, _) = token.rsplit_once('.').unwrap();
    assert!(Token::parse(&format!("{signed}.")).is_err());
    assert!(Token::parse(&"A".repeat(MAX_TOKEN_BYTES)).is_err());
}

#[test]
fn what_is_not_one_public_key_says_why() {
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
    let several = format!("{}{}", P256.public, P384.public);
    let cut = RSA.public.replace("MIIB", "MIIC");
    for (text, why) in [
        ("", KeyError::NotPem),
        ("not a key", KeyError::NotPem),
        ("-----BEGIN PUBLIC KEY", KeyError::NotPem),
        (&several, KeyError::SeveralBlocks),
        (&RSA.private, KeyError::Private),
        (&P256.private, KeyError::Private),
        (&ED25519.private, KeyError::Private),
        (certificate, KeyError::Certificate),
        (
            "-----BEGIN SSH KEY-----\nAAAA\n-----END SSH KEY-----",
            KeyError::Label,
        ),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            KeyError::Unsupported,
        ),
        (
            "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----",
            KeyError::Unsupported,
        ),
        (&cut, KeyError::Unsupported),
        (RSA_1024, KeyError::RsaSize { bits: 1024 }),
        (SECP256K1, KeyError::Unsupported),
        (P521, KeyError::Unsupported),
        (X25519, KeyError::Unsupported),
        (ED448, KeyError::Unsupported),
    ] {
        assert_eq!(VerifyKey::from_pem(text).err(), Some(why), "{text}");
    }
    assert_eq!(
        VerifyKey::from_secret(b"").err(),
        Some(KeyError::EmptySecret)
    );
}

#[test]
fn an_older_rsa_pem_is_taken_too() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let spki = DecodingKey::from_rsa_pem(RSA.public.as_bytes()).unwrap();
    let der = STANDARD.encode(spki.try_get_as_bytes().unwrap());
    let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{der}\n-----END RSA PUBLIC KEY-----\n");
    let key = VerifyKey::from_pem(&pem).unwrap();
    assert!(verifies(
        &key,
        &token_by(&RSA, Algorithm::PS512, None, &claims(json!({})))
    ));
}

#[test]
fn rsa_numbers_that_would_be_unsafe_are_refused() {
    let good = vec![0xc1; 256];
    let e = [1, 0, 1];
    assert!(VerifyKey::from_rsa_numbers(&good, &e).is_ok());
    let zeros: Vec<u8> = [0, 0].into_iter().chain(good.clone()).collect();
    assert!(VerifyKey::from_rsa_numbers(&zeros, &[0, 1, 0, 1]).is_ok());
    let even = [&good[..255], &[2]].concat();
    for (n, e) in [
        (&good[..], &[1][..]),
        (&good, &[]),
        (&good, &[0, 0]),
        (&good, &[4]),
        (&good, &[1, 0, 0, 0, 0, 0, 1]),
        (&good[..255], &[1, 0, 1]),
        (&even, &[1, 0, 1]),
        (&[], &[1, 0, 1]),
        (&[0xc1; 1025], &[1, 0, 1]),
    ] {
        assert!(
            VerifyKey::from_rsa_numbers(n, e).is_err(),
            "{} {e:?}",
            n.len()
        );
    }
}

#[test]
fn nothing_prints_a_secret_and_a_short_one_is_known_as_weak() {
    let key = VerifyKey::from_secret(b"hunter2").unwrap();
    assert!(key.is_weak() && !format!("{key:?}").contains("hunter2"));
    assert!(!VerifyKey::from_secret(&[7; 32]).unwrap().is_weak());
    assert!(!VerifyKey::from_pem(&P256.public).unwrap().is_weak());
}
