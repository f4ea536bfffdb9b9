//! The bounded channel through which submissions reach a lane's leader.
//!
//! The bounded flavour of crossbeam-channel allocates all its places at once and never blocks here. It is made by the
//! first submission, so that a model which nobody asks costs no queue.

#[cfg(not(loom))]
pub(crate) struct Inbox<T> {
    len_max: usize,
    channel: std::sync::OnceLock<(crossbeam_channel::Sender<T>, crossbeam_channel::Receiver<T>)>,
}

#[cfg(not(loom))]
impl<T> Inbox<T> {
    pub(crate) fn new(len_max: usize) -> Self {
        Inbox { len_max, channel: std::sync::OnceLock::new() }
    }

    /// Adds at the end.
    ///
    /// # Errors
    /// The item itself, when the inbox is full.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let (sender, _) = self.channel.get_or_init(|| crossbeam_channel::bounded(self.len_max));
        sender.try_send(item).map_err(crossbeam_channel::TrySendError::into_inner)
    }

    /// Takes from the front.
    pub(crate) fn pop(&self) -> Option<T> {
        self.channel.get()?.1.try_recv().ok()
    }
}

#[cfg(loom)]
pub(crate) struct Inbox<T> {
    items: super::Mutex<std::collections::VecDeque<T>>,
    len_max: usize,
}

#[cfg(loom)]
impl<T> Inbox<T> {
    pub(crate) fn new(len_max: usize) -> Self {
        Inbox { items: super::Mutex::new(std::collections::VecDeque::new()), len_max }
    }

    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut items = self.items.lock();
        if items.len() == self.len_max {
            return Err(item);
        }
        items.push_back(item);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.items.lock().pop_front()
    }
}
