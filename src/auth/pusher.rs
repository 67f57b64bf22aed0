//! Pusher's credentials: apps, and the signatures by which an app lets a client onto a channel.
//!
//! A signature is `key:` and the hex HMAC-SHA256 of what is allowed. Ours, made from a Pogo token,
//! goes on with `:` and a memo of that token, under a key of its own: a session that presents it
//! takes the token's subject, id and end, and nobody can take the memo off.

mod app;
mod memo;

pub use app::{App, Apps, MasterKey, hex};
pub use memo::Memo;

use crate::session_id::SessionId;

/// What a signature allows.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// Subscribing to a channel, with `channel_data` exactly as it was sent; also on private
    /// channels, where Pusher's documentation is silent about it.
    Channel {
        /// The channel.
        channel: &'a str,
        /// What presence shows of the client.
        channel_data: Option<&'a str>,
    },
    /// Signing in as the user that this data tells of.
    User(&'a str),
}

/// Why a signature is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not `key:signature`.
    #[error("should be of format 'key:signature'")]
    Malformed,
    /// Of another app.
    #[error("signed with the key of another app")]
    OtherKey,
    /// The HMAC is another.
    #[error("the signature does not match")]
    Mismatch,
}

impl App {
    /// The signature that lets the session `id` do what `subject` says, with what it shall
    /// remember of a token.
    pub fn sign(&self, id: SessionId, subject: Subject<'_>, memo: Option<&Memo>) -> String {
        let text = subject.text(id);
        match memo {
            None => format!("{}:{}", self.key, self.hex(text.as_bytes())),
            Some(memo) => {
                let memo = memo.encode();
                let signature = self.memo_hex(&subject.remembered(&memo, &text));
                format!("{}:{signature}:{memo}", self.key)
            }
        }
    }

    /// Checks a signature that a client shows; what it remembers, where it is one of ours.
    ///
    /// # Errors
    /// [`SignatureError`] says what is wrong with it.
    pub fn verify(
        &self,
        id: SessionId,
        subject: Subject<'_>,
        shown: &str,
    ) -> Result<Option<Memo>, SignatureError> {
        let (key, rest) = shown.split_once(':').ok_or(SignatureError::Malformed)?;
        if key != &*self.key {
            return Err(SignatureError::OtherKey);
        }
        let text = subject.text(id);
        match rest.split_once(':') {
            None if self.matches(text.as_bytes(), rest) => Ok(None),
            Some((signature, memo))
                if self.memo_matches(&subject.remembered(memo, &text), signature) =>
            {
                Memo::decode(memo)
                    .map(Some)
                    .ok_or(SignatureError::Malformed)
            }
            _ => Err(SignatureError::Mismatch),
        }
    }
}

impl Subject<'_> {
    /// What is signed where a token is remembered. Pusher's text alone reads in two ways where a
    /// channel's name holds a colon; here it says where the name ends, and that a user is none.
    fn remembered(self, memo: &str, text: &str) -> String {
        match self {
            Self::Channel {
                channel,
                channel_data,
            } => {
                let data = if channel_data.is_some() { "data" } else { "" };
                format!("{memo}:channel:{}:{data}:{text}", channel.len())
            }
            Self::User(_) => format!("{memo}:user:{text}"),
        }
    }

    /// What is signed.
    pub fn text(self, id: SessionId) -> String {
        match self {
            Self::Channel {
                channel,
                channel_data: None,
            } => format!("{id}:{channel}"),
            Self::Channel {
                channel,
                channel_data: Some(data),
            } => format!("{id}:{channel}:{data}"),
            Self::User(data) => format!("{id}::user::{data}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        App::new("1", "278d425bdf160c739803", "7ad3773142a6692b25b8")
    }

    fn channel<'a>(channel: &'a str, channel_data: Option<&'a str>) -> Subject<'a> {
        Subject::Channel {
            channel,
            channel_data,
        }
    }

    #[test]
    fn the_published_vectors_hold() {
        let id = "1234.1234".parse().unwrap();
        let signed = |subject| app().sign(id, subject, None);
        assert!(
            signed(channel("private-foobar", None)).starts_with("278d425bdf160c739803:58df8b0c")
        );
        assert!(signed(Subject::User(r#"{"id":"12345"}"#)).contains(":4708d583"));
    }

    #[test]
    fn a_signature_holds_for_what_was_signed_and_nothing_else() {
        let (app, id) = (app(), "1.2".parse().unwrap());
        let signed = app.sign(id, channel("private-a", Some("")), None);
        assert_eq!(
            app.verify(id, channel("private-a", Some("")), &signed),
            Ok(None)
        );
        let other = "1.3".parse().unwrap();
        for (id, subject) in [
            (other, channel("private-a", Some(""))),
            (id, channel("private-a", None)),
            (id, channel("private-b", Some(""))),
            (id, Subject::User("")),
        ] {
            assert_eq!(
                app.verify(id, subject, &signed),
                Err(SignatureError::Mismatch)
            );
        }
        let verify = |text: &str| app.verify(id, channel("private-a", Some("")), text);
        assert_eq!(verify("x:y"), Err(SignatureError::OtherKey));
        assert_eq!(verify("xy"), Err(SignatureError::Malformed));
        assert_eq!(verify(""), Err(SignatureError::Malformed));
        let (key, hex) = signed.split_once(':').unwrap();
        let loud = format!("{key}:{}", hex.to_uppercase());
        assert_eq!(verify(&loud), Err(SignatureError::Mismatch));
    }

    #[test]
    fn a_memo_comes_back_and_does_not_come_off() {
        let (app, id) = (app(), "1.2".parse().unwrap());
        let memo = Memo {
            subject: Some("ann".into()),
            token_id: Some("t1".into()),
            issued_at: Some(5),
            expires_at: 9,
            fingerprint: [7; 16],
        };
        let subject = channel("private-a", None);
        let signed = app.sign(id, subject, Some(&memo));
        assert_eq!(app.verify(id, subject, &signed), Ok(Some(memo.clone())));
        let (front, text) = signed.rsplit_once(':').unwrap();
        assert_eq!(
            app.verify(id, subject, front),
            Err(SignatureError::Mismatch)
        );
        // Nor can it be passed off as what the app itself has signed.
        let smuggled = channel("private-a", Some(text));
        assert_eq!(
            app.verify(id, smuggled, front),
            Err(SignatureError::Mismatch)
        );
        let later = Memo {
            expires_at: 99,
            ..memo
        };
        let forged = format!("{front}:{}", later.encode());
        assert_eq!(
            app.verify(id, subject, &forged),
            Err(SignatureError::Mismatch)
        );
    }

    #[test]
    fn a_memos_signature_reads_in_one_way_only() {
        let (app, id) = (app(), "1.2".parse().unwrap());
        let memo = Memo {
            subject: Some("ann".into()),
            token_id: None,
            issued_at: None,
            expires_at: 9,
            fingerprint: [7; 16],
        };
        let user = r#"{"id":"admin"}"#;
        let named = format!(":user::{user}");
        for (signed, shown) in [
            (channel(&named, None), Subject::User(user)),
            (Subject::User(user), channel(&named, None)),
            (channel("staff:x", None), channel("staff", Some("x"))),
            (channel("staff", Some("x")), channel("staff:x", None)),
            (channel("a:b", Some("c")), channel("a", Some("b:c"))),
            (channel("a:", None), channel("a", Some(""))),
        ] {
            let signature = app.sign(id, signed, Some(&memo));
            assert!(app.verify(id, signed, &signature).is_ok());
            let other = app.verify(id, shown, &signature);
            assert_eq!(other, Err(SignatureError::Mismatch), "{signed:?} {shown:?}");
        }
    }
}
