//! Repositories that begin with a part of another one, whose packs they borrow.
//!
//! A borrowed pack is a hard link: the file system counts who uses it, in the same place as the bytes
//! and in the same step. Either side may be removed at any moment, whatever crashes, and there is no
//! second account of it that could be wrong.
//! Source: link(2).
//! Bounds: a bit an object of the packs borrowed, in memory and on disk.
//! Invariant: what a fork may see is decided once, when it is made: what its refs reached then. The
//! packs hold more; for the fork the rest is not there, neither to be wanted, had or read by name, nor
//! as the base of a delta that is pushed, nor as what a pushed object names.
//! Not here: the refs themselves and who may fork (`hosting`).

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Repository,
    fetch::closure,
    history::History,
    packs::{BORROWED, OpenError, ReadError, Shown},
};
use crate::{disk, model::ObjectId};

/// Why a repository can't borrow from another one.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// The source's objects can't be read.
    #[error("cannot read the repository that is forked")]
    Read(#[from] ReadError),
    /// A file can't be linked or written.
    #[error("cannot borrow {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The borrowed packs can't be opened.
    #[error("cannot open the borrowed packs")]
    Open(#[from] OpenError),
}

impl Repository {
    /// Takes in what these objects of `source` reach, sharing its packs; this repository must be new.
    /// On return everything is on disk.
    ///
    /// # Errors
    /// When an object can't be read or a file not be linked; then this repository is to be removed.
    pub fn borrow_from(&self, source: &Self, tips: &[ObjectId]) -> Result<(), ForkError> {
        let packs = source.packs();
        let mut history = History::new(Arc::clone(&packs));
        let visible = closure(source, &mut history, tips, &mut |_| {})?;
        let folder = self.folder().join(BORROWED);
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| ForkError::Io { path, source }
        };
        fs::create_dir(&folder).map_err(failed(&folder))?;
        for (at, pack) in (0u32..).zip(packs.packs()) {
            let (first, count) = (packs.first_number(at), pack.object_count());
            let mut shown = Shown::none(count);
            for position in 0..count {
                // The same object may be known by its place in a pack before this one.
                let known = visible.contains(first + position)
                    || packs
                        .number(pack.id_at(position))
                        .is_some_and(|number| visible.contains(number));
                if known {
                    shown.insert(position);
                }
            }
            if shown.is_empty() {
                continue;
            }
            let index = pack.index_path();
            let own = folder.join(index.file_name().unwrap_or_default());
            shown.write(&own).map_err(failed(&own))?;
            for extension in ["pack", "idx"] {
                let (from, to) = (
                    index.with_extension(extension),
                    own.with_extension(extension),
                );
                share(&from, &to).map_err(failed(&from))?;
            }
        }
        for path in [&*folder, self.folder()] {
            disk::flush_folder(path).map_err(failed(path))?;
        }
        Ok(self.reread()?)
    }
}

/// Gives a file one more name; where the file system can't, or has given it as many as it may, a copy.
fn share(from: &Path, to: &Path) -> io::Result<()> {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    match fs::hard_link(from, to) {
        Err(error)
            if matches!(
                error.kind(),
                CrossesDevices | PermissionDenied | TooManyLinks | Unsupported
            ) =>
        {
            tracing::warn!(%error, ?from, "a fork takes a copy of a pack");
            fs::copy(from, to)?;
            fs::File::open(to)?.sync_all()
        }
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, os::unix::fs::MetadataExt as _};

    use super::*;
    use crate::git::{
        ObjectReader, Repositories,
        fixture::Stock,
        receive::{self, Limits, ReceiveError},
    };

    const SOURCE: &str = "0123456789abcdef0123456789abcdef";
    const FORK: &str = "fedcba9876543210fedcba9876543210";

    struct Scene {
        stock: Stock,
        _root: tempfile::TempDir,
        repositories: Repositories,
        fork: Repository,
    }

    impl Scene {
        /// A fork of `main`, from a repository that has the branch `secret` besides.
        fn new(stock: Stock) -> Self {
            let stock = stock.with_history(8);
            stock.import(
                "commit refs/heads/secret\nmark :1\n\
                 committer Carl <carl@example.org> 1700009999 +0000\ndata 6\nSecret\n\
                 from refs/heads/main^0\n\
                 M 100644 inline secret.txt\ndata 12\nThe treasure\n\
                 M 100644 inline folder/secret.txt\ndata 9\nIs there\n\n",
            );
            stock.git(["repack", "-q", "-a", "-d"]);
            let root = tempfile::TempDir::new().unwrap();
            let repositories = Repositories::new(root.path(), NonZeroUsize::new(4).unwrap());
            let source = repositories.create(SOURCE, stock.format()).unwrap();
            for index in stock.indices() {
                let target = source
                    .folder()
                    .join("objects/pack")
                    .join(index.file_name().unwrap());
                fs::copy(index.with_extension("pack"), target.with_extension("pack")).unwrap();
                fs::copy(&index, &target).unwrap();
                source.add_pack(&target).unwrap();
            }
            let fork = repositories.create(FORK, stock.format()).unwrap();
            fork.borrow_from(&source, &[stock.id("main")]).unwrap();
            Self {
                stock,
                _root: root,
                repositories,
                fork,
            }
        }

        fn ids(&self, arguments: &[&str]) -> Vec<ObjectId> {
            let listed = self
                .stock
                .git([&["rev-list", "--objects"], arguments].concat());
            let id = |line: &str| {
                ObjectId::from_hex(&line.as_bytes()[..line.find(' ').unwrap_or(line.len())])
            };
            listed.lines().map(|line| id(line).unwrap()).collect()
        }

        /// What happens to this pack when it is pushed to the fork.
        fn pushes(&self, pack: &[u8]) -> Result<(), ReceiveError> {
            let limits = Limits::default();
            receive::ingest(&self.fork, &mut &*pack, &limits, &mut |_| {})?.publish()
        }

        fn pack_of(&self, arguments: &[&str], ids: &str) -> Vec<u8> {
            let arguments = [&["pack-objects", "-q", "--stdout"], arguments].concat();
            self.stock.git_with_input(arguments, ids.as_bytes())
        }
    }

    #[test]
    fn a_fork_holds_what_its_refs_reach_in_the_files_of_its_source() {
        for stock in Stock::each() {
            let scene = Scene::new(stock);
            let packs = scene.fork.packs();
            let (visible, hidden) = (scene.ids(&["main"]), scene.ids(&["secret", "^main"]));
            assert!(hidden.len() >= 5);
            let mut reader = ObjectReader::new(Arc::clone(&packs));
            let mut content = Vec::new();
            for id in &visible {
                assert!(reader.find(id, &mut content).unwrap().is_some(), "{id}");
                let prefix = gix_hash::Prefix::new(id, id.kind().len_in_hex()).unwrap();
                assert_eq!(packs.with_prefix(&prefix, 2), [*id]);
            }
            for id in &hidden {
                assert_eq!(reader.find(id, &mut content).unwrap(), None, "{id}");
                assert!(!packs.contains(id));
                let prefix = gix_hash::Prefix::new(id, id.kind().len_in_hex()).unwrap();
                assert!(packs.with_prefix(&prefix, 2).is_empty());
            }
            for entry in fs::read_dir(scene.fork.folder().join(BORROWED)).unwrap() {
                let entry = entry.unwrap();
                let links = entry.metadata().unwrap().nlink();
                let shared = entry.path().extension() != Some("shown".as_ref());
                assert_eq!(links, if shared { 2 } else { 1 }, "{entry:?}");
            }
            drop((reader, packs));
            // The source goes; the fork stays, also when it is opened anew.
            scene.repositories.delete(SOURCE).unwrap();
            let again = Repository::open(scene.fork.folder(), scene.stock.format()).unwrap();
            let mut reader = ObjectReader::new(again.packs());
            for id in &visible {
                assert!(reader.find(id, &mut content).unwrap().is_some(), "{id}");
            }
            assert!(hidden.iter().all(|id| !again.packs().contains(id)));
        }
    }

    /// Attack: the fork's owner learns the ids of a commit, a tree and a blob that only a branch of the
    /// source names that was not forked. He pushes objects of his own that name them, hoping that the
    /// shared files make them reachable for him.
    #[test]
    fn a_push_can_not_name_what_the_fork_does_not_see() {
        for stock in Stock::each() {
            let scene = Scene::new(stock);
            let stock = &scene.stock;
            let commit = |tree: &str, parent: &str| {
                let arguments = ["commit-tree", "-m", "Mine", "-p", parent, tree];
                stock.git(arguments)
            };
            let secret_tree = stock.git(["rev-parse", "secret^{tree}"]);
            let secret_blob = stock.git(["rev-parse", "secret:secret.txt"]);
            let main_tree = stock.git(["rev-parse", "main^{tree}"]);
            let by_parent = commit(&main_tree, "secret");
            let by_tree = commit(&secret_tree, "main");
            let entry = format!("100644 blob {secret_blob}\tfound.txt\n");
            let tree = stock.git_with_input(["mktree"], entry.as_bytes());
            let tree = String::from_utf8(tree).unwrap().trim().to_owned();
            let by_blob = commit(&tree, "main");
            let by_tag = stock.git_with_input(
                ["mktag"],
                format!(
                    "object {}\ntype commit\ntag found\ntagger Carl <carl@example.org> 1700000000 +0000\n\nFound\n",
                    stock.git(["rev-parse", "secret"])
                )
                .as_bytes(),
            );
            let by_tag = String::from_utf8(by_tag).unwrap();
            for ids in [by_parent, by_tree, format!("{by_blob}\n{tree}"), by_tag] {
                let refused = scene.pushes(&scene.pack_of(&[], &ids)).unwrap_err();
                assert!(
                    matches!(
                        refused,
                        ReceiveError::MissingObject { .. } | ReceiveError::Unconnected
                    ),
                    "{refused:?}"
                );
            }
            // Who has the objects himself may bring them.
            let whole = scene.pack_of(&["--revs"], "secret\n^main\n");
            scene.pushes(&whole).unwrap();
            assert!(scene.fork.packs().contains(&stock.id("secret")));
            let again = Repository::open(scene.fork.folder(), stock.format()).unwrap();
            assert!(again.packs().contains(&stock.id("secret")));
        }
    }

    /// Attack: a thin pack brings a delta that copies all of its base and adds a byte. Its base is a blob of
    /// the source that the fork does not see: completed by the server, the pack would hold the blob, and
    /// the result, which the pusher may fetch, would be the secret with a byte more.
    #[test]
    fn a_thin_pack_can_not_build_on_what_the_fork_does_not_see() {
        let scene = Scene::new(Stock::new(crate::model::ObjectFormat::Sha1));
        let stock = &scene.stock;
        let hidden = stock.id("secret:secret.txt");
        let size = 12u8;
        let mut pack = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
        let delta = [size, size + 1, 0b1001_0000, size, 1, b'!'];
        pack.push(0x70 | u8::try_from(delta.len()).unwrap());
        pack.extend_from_slice(hidden.as_bytes());
        pack.extend(flate2_deflated(&delta));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &pack);
        pack.extend_from_slice(digest.as_ref());
        let refused = scene.pushes(&pack).unwrap_err();
        assert!(matches!(refused, ReceiveError::MissingBase { base, .. } if base == hidden));
        let source = scene.repositories.get(SOURCE, stock.format()).unwrap();
        let limits = Limits::default();
        receive::ingest(&source, &mut &*pack, &limits, &mut |_| {}).expect("the source has it");
    }

    fn flate2_deflated(bytes: &[u8]) -> Vec<u8> {
        use io::Write as _;
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        deflate.write_all(bytes).unwrap();
        deflate.finish().unwrap()
    }
}
