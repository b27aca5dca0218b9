//! What stock git says about the same packs, and packs that no stock git would send.

mod build;
mod compose;
mod fsck;
mod hostile;
mod limits;
mod oracle;

use tempfile::TempDir;

use super::{Limits, Quarantine, ReceiveError, ingest};
use crate::{
    git::{Repository, fixture::Stock},
    model::ObjectFormat,
};

/// A repository of ours that packs are pushed to.
struct Target {
    folder: TempDir,
    repository: Repository,
}

impl Target {
    fn new(format: ObjectFormat) -> Self {
        let folder = TempDir::new().unwrap();
        let repository = Repository::create(folder.path(), format).unwrap();
        Self { folder, repository }
    }

    fn ingest(&self, pack: &[u8]) -> Result<Quarantine, ReceiveError> {
        self.ingest_within(pack, &Limits::default())
    }

    fn ingest_within(&self, pack: &[u8], limits: &Limits) -> Result<Quarantine, ReceiveError> {
        ingest(&self.repository, &mut &*pack, limits, &mut |_| {})
    }

    fn publish(&self, pack: &[u8]) {
        self.ingest(pack).unwrap().publish().unwrap();
    }

    /// Whether a push that failed left something.
    fn is_clean(&self) -> bool {
        let count = |folder| {
            std::fs::read_dir(self.folder.path().join(folder))
                .unwrap()
                .count()
        };
        count("incoming") == 0 && count("objects/pack") == 0
    }

    /// The published packs in a repository of stock git.
    fn as_stock(&self) -> Stock {
        let stock = Stock::new(self.repository.format());
        for file in std::fs::read_dir(self.folder.path().join("objects/pack")).unwrap() {
            let file = file.unwrap();
            let target = stock.path().join("objects/pack").join(file.file_name());
            std::fs::copy(file.path(), target).unwrap();
        }
        stock
    }
}
