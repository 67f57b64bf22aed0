//! Every refusal of the control plane: a gRPC code with google.rpc details.
//!
//! The `reason` of an ErrorInfo is stable and its domain is `pogo`; texts may change. RetryInfo is
//! there when the same call may succeed later.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::broker::BrokerError;
use crate::node::{NodeError, PublishError};

/// The domain of our reasons.
const DOMAIN: &str = "pogo";
/// Most field violations that are told; details travel in a header of limited size.
const MAX_VIOLATIONS: usize = 10;
/// When to try again what a short outage refused.
const SOON: Duration = Duration::from_secs(1);
/// When to try again what a full store refused: its entries expire.
const LATER: Duration = Duration::from_secs(60);

/// A refusal with a reason.
pub(super) fn refuse(code: Code, reason: &str, message: &str) -> Status {
    with(code, message, info(reason, &[]))
}

/// The same with a word on when to try again.
fn retry(code: Code, reason: &str, message: &str, after: Duration) -> Status {
    let mut details = info(reason, &[]);
    details.set_retry_info(Some(after));
    with(code, message, details)
}

fn info(reason: &str, metadata: &[(&str, &str)]) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

fn with(code: Code, message: &str, details: ErrorDetails) -> Status {
    Status::with_error_details(code, message, details)
}

/// Fields that are wrong, in the request's spelling.
pub(super) fn bad_request(mut violations: Vec<FieldViolation>) -> Status {
    let more = violations.len().saturating_sub(MAX_VIOLATIONS);
    violations.truncate(MAX_VIOLATIONS);
    let mut message = violations
        .iter()
        .map(|violation| format!("{}: {}", violation.field, violation.description))
        .collect::<Vec<_>>()
        .join("; ");
    if more > 0 {
        message.push_str(&format!("; and {more} more"));
    }
    let mut details = info("INVALID_FIELD", &[]);
    details.set_bad_request(violations);
    with(Code::InvalidArgument, &message, details)
}

/// One field that is wrong.
pub(super) fn bad_field(field: &str, why: impl Into<String>) -> Status {
    bad_request(vec![FieldViolation::new(field, why)])
}

/// No credential, or one that nobody has.
pub(super) fn unauthenticated(reason: &str, message: &str) -> Status {
    refuse(Code::Unauthenticated, reason, message)
}

/// The caller is known, but `scope` is not among what it may do.
pub(super) fn permission_denied(scope: &str) -> Status {
    with(
        Code::PermissionDenied,
        &format!("the key does not have the scope {scope}"),
        info("SCOPE_MISSING", &[("scope", scope)]),
    )
}

/// There is no such thing.
pub(super) fn not_found(reason: &str, message: &str) -> Status {
    refuse(Code::NotFound, reason, message)
}

/// The call took longer than it may.
pub(super) fn deadline() -> Status {
    refuse(
        Code::DeadlineExceeded,
        "DEADLINE",
        "the deadline has passed",
    )
}

/// The server is going away.
pub(super) fn draining() -> Status {
    retry(
        Code::Unavailable,
        "DRAINING",
        "the server is going away: call another",
        SOON,
    )
}

/// The connection has reached its age and its grace is over.
pub(super) fn aged() -> Status {
    retry(
        Code::Unavailable,
        "CONNECTION_AGE",
        "the connection is too old: connect again",
        SOON,
    )
}

/// A message over the limit.
pub(super) fn too_large(message: &str) -> Status {
    refuse(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message)
}

/// Something bounded is in full use; it is free again soon.
pub(super) fn busy(message: &str) -> Status {
    retry(Code::ResourceExhausted, "TOO_MANY", message, SOON)
}

/// What tonic says about messages over the limit, as RESOURCE_EXHAUSTED; all else as it is. Our
/// own OUT_OF_RANGE has details.
pub(super) fn mend(status: Status) -> Status {
    if status.code() == Code::OutOfRange && status.details().is_empty() {
        return too_large(status.message());
    }
    status
}

/// Why the broker did not do it. The source is for the log, not for the caller.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn broker(error: BrokerError) -> Status {
    let message = error.to_string();
    match &error {
        BrokerError::Unavailable(_) => {
            retry(Code::Unavailable, "BROKER_UNAVAILABLE", &message, SOON)
        }
        BrokerError::Full { .. } => retry(Code::ResourceExhausted, "STORE_FULL", &message, LATER),
        BrokerError::State { .. } => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "state not written"
            );
            retry(
                Code::Unavailable,
                "STATE_NOT_WRITTEN",
                "the state cannot be written",
                LATER,
            )
        }
    }
}

/// Why a publication was refused.
pub(super) fn publish(error: PublishError) -> Status {
    match error {
        PublishError::Broker(error) => broker(error),
        PublishError::Uri(error) => bad_field("channels", error.to_string()),
    }
}

/// Why the node did not do it.
pub(super) fn node(error: NodeError) -> Status {
    let message = error.to_string();
    match error {
        NodeError::Broker(error) => broker(error),
        NodeError::NoSuchSession => not_found("SESSION_NOT_FOUND", &message),
        NodeError::Unanswered { .. } => retry(Code::Unavailable, "UNANSWERED", &message, SOON),
        NodeError::Random(_) => refuse(Code::Internal, "INTERNAL", &message),
    }
}

/// The status as a message, for one item of many.
pub(super) fn as_item(status: &Status) -> tonic_types::Status {
    tonic_types::Status::decode(status.details())
        .ok()
        .filter(|item| item.code != 0)
        .unwrap_or_else(|| tonic_types::Status {
            code: status.code().into(),
            message: status.message().into(),
            details: Vec::new(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_and_when_to_come_back() {
        let status = broker(BrokerError::Full {
            what: "revocations",
            limit: 5,
            setting: "x.y",
        });
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "STORE_FULL");
        assert_eq!(details.error_info().unwrap().domain, "pogo");
        assert!(details.retry_info().unwrap().retry_delay.is_some());

        let status = permission_denied("events");
        assert_eq!(
            status.get_error_details().error_info().unwrap().metadata["scope"],
            "events"
        );
    }

    #[test]
    fn violations_fit_a_header() {
        let many = (0..500)
            .map(|i| FieldViolation::new(format!("channels[{i}]"), "bad"))
            .collect();
        let status = bad_request(many);
        let details = status.get_error_details();
        assert_eq!(
            details.bad_request().unwrap().field_violations.len(),
            MAX_VIOLATIONS
        );
        assert!(status.message().ends_with("and 490 more"));
        assert!(status.details().len() < 2_048);
    }

    #[test]
    fn a_status_in_a_message_keeps_its_details() {
        let item = as_item(&bad_field("event", "no"));
        assert_eq!(item.code, Code::InvalidArgument as i32);
        assert_eq!(item.details.len(), 2);
        let plain = as_item(&Status::internal("x"));
        assert_eq!(
            (plain.code, plain.message.as_str()),
            (Code::Internal as i32, "x")
        );
    }

    #[test]
    fn too_large_is_resource_exhausted_and_a_lost_token_stays_out_of_range() {
        assert_eq!(
            mend(Status::out_of_range("length")).code(),
            Code::ResourceExhausted
        );
        let ours = refuse(Code::OutOfRange, "RESUME_TOKEN_FORGOTTEN", "gone");
        assert_eq!(mend(ours).code(), Code::OutOfRange);
    }
}
