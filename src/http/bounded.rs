//! A reader that ends in an error once more bytes came than allowed.
//!
//! Invariant: it counts what leaves it, so behind an inflating layer it bounds what a small body may
//! grow into.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

/// Passes on at most `left` bytes of `reader`.
pub(crate) struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R> Bounded<R> {
    pub(crate) fn new(reader: R, most: u64) -> Self {
        Self { reader, left: most }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Bounded<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.reader).poll_read(context, buffer))?;
        let read = u64::try_from(buffer.filled().len() - before).unwrap_or(u64::MAX);
        match self.left.checked_sub(read) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => {
                // A reader that fails has read nothing.
                buffer.set_filled(before);
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "request body is too large",
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn the_bound_holds_on_both_sides() {
        let mut read = Vec::new();
        Bounded::new(&b"12345"[..], 5)
            .read_to_end(&mut read)
            .await
            .unwrap();
        assert_eq!(read, b"12345");
        assert!(
            Bounded::new(&b"123456"[..], 5)
                .read_to_end(&mut read)
                .await
                .is_err()
        );
    }
}
