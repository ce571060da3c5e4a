//! How the writer's threads wait: the one thing about them that a simulation replaces.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{LaneQueue, Pending, Ready};

/// Lets a thread of the writer wait. Beside the [`Clock`](crate::domain::time::Clock) and the store it
/// is all that the threads know of the world, so whoever gives these three decides what happens when.
pub trait Idle: Send + Sync {
    /// Waits this long.
    fn sleep(&self, time: Duration);

    /// Waits until something waits in a lane's queue. False = every caller is gone, and nothing is left.
    fn wait(&self, queue: &LaneQueue) -> bool;

    /// Waits for the rescue lane's next submission; `None` = every sender is gone, and so is what they
    /// sent.
    fn receive(&self, queue: &mut mpsc::Receiver<Pending>) -> Option<Pending>;
}

/// In real time.
pub struct RealTime;

impl Idle for RealTime {
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn wait(&self, queue: &LaneQueue) -> bool {
        queue.block() == Ready::Something
    }

    fn receive(&self, queue: &mut mpsc::Receiver<Pending>) -> Option<Pending> {
        queue.blocking_recv()
    }
}
