//! Who is subscribed to what, on which worker; fan-out and questions to the workers.

mod delivery;
mod message;

pub use delivery::Delivery;
pub use message::{SessionAction, SessionFilter, SessionInfo, Worker, WorkerMessage};

/// The number of a worker, 0 to 63.
pub type WorkerId = u8;

/// Who is subscribed to what, on which worker.
#[derive(Debug)]
pub struct Hub {}
