//! What pushes learn of their packs spares clones the walk and changes none of their answers.

use tempfile::TempDir;

use super::*;
use crate::git::receive;

/// A repository that packs of stock git were pushed to.
struct Pushed {
    stock: Stock,
    folder: TempDir,
}

impl Pushed {
    fn new(stock: Stock) -> Self {
        let folder = TempDir::new().unwrap();
        Repository::create(folder.path(), stock.format()).unwrap();
        Self { stock, folder }
    }

    /// As it is after a start.
    fn opened(&self) -> Repository {
        Repository::open(self.folder.path(), self.stock.format()).unwrap()
    }

    fn push(&self, tips: &[&str], there: &[&str], thin: bool) {
        let ids = |names: &[&str]| -> String {
            names
                .iter()
                .map(|name| format!("{}\n", self.stock.id(name)))
                .collect()
        };
        let input = format!("{}--not\n{}", ids(tips), ids(there));
        let mut args = vec!["pack-objects", "-q", "--revs", "--stdout"];
        args.extend(thin.then_some("--thin"));
        let pack = self.stock.git_with_input(args, input.as_bytes());
        let limits = receive::Limits::default();
        receive::ingest(&self.opened(), &mut &pack[..], &limits, &mut |_| {})
            .unwrap()
            .publish()
            .unwrap();
    }

    /// What is known of the packs: how many objects, and what they hang on.
    fn learnt(&self) -> Option<(u64, BTreeSet<ObjectId>)> {
        let closed = self.opened().packs().closed(&BTreeSet::new())?;
        Some((closed.objects.len(), closed.tips.into_iter().collect()))
    }

    fn listed(&self, revisions: &[&str]) -> BTreeSet<ObjectId> {
        let fixed = ["rev-list", "--objects", "--no-object-names"];
        let text = self.stock.git(fixed.iter().chain(revisions));
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Answers the pack that has blobs.
    #[track_caller]
    fn check_clone(&self, revisions: &[&str]) -> Vec<u8> {
        let repository = self.opened();
        let [whole, _] = [(None, &[][..]), (Some(Filter::BlobNone), NO_BLOBS)].map(|asked| {
            let (filter, args) = asked;
            let request = FetchRequest {
                wants: revisions.iter().map(|name| self.stock.id(name)).collect(),
                ofs_delta: true,
                filter,
                ..FetchRequest::default()
            };
            let (packs, refs) = (repository.packs(), self.stock.refs());
            let plan = prepare(&repository, packs, &refs, &request, &mut |_| {}).unwrap();
            let listed = self.listed(&[revisions, args].concat());
            assert_eq!(set(&plan), listed, "{revisions:?} {args:?}");
            let pack = written(&plan);
            let client = Stock::new(self.stock.format());
            client.git_with_input(["index-pack", "--stdin"], &pack);
            pack
        });
        whole
    }

    /// Those of these commits that no other of them reaches.
    fn heads(&self, names: &[&str]) -> BTreeSet<ObjectId> {
        let text = self
            .stock
            .git(["merge-base", "--independent"].iter().chain(names));
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

const NO_BLOBS: &[&str] = &["--filter=blob:none"];

const ALL: &[&str] = &[
    "main", "side", "nested", "tree-tag", "v11", "v51", "v101", "v1", "v21", "v31", "v41", "v61",
    "v71", "v81", "v91",
];

#[test]
fn a_pack_pushed_at_once_is_known_to_be_all_that_its_tips_reach() {
    for stock in Stock::each() {
        let pushed = Pushed::new(stock.with_history(400));
        pushed.push(ALL, &[], false);
        let (count, tips) = pushed.learnt().unwrap();
        assert_eq!(count, pushed.listed(ALL).len() as u64);
        // A tag that another tag names is no root, nor is a commit that has a child.
        let named: BTreeSet<_> = ["v1", "main:src"].map(|name| pushed.stock.id(name)).into();
        let all: BTreeSet<_> = ALL.iter().map(|name| pushed.stock.id(name)).collect();
        assert!(tips.is_subset(&all) && tips.is_disjoint(&named) && tips.len() > 10);
        let roots: Vec<_> = tips.iter().map(ObjectId::to_string).collect();
        let pack = pushed.check_clone(&roots.iter().map(String::as_str).collect::<Vec<_>>());
        let index = pushed.opened().packs().packs()[0].index_path().to_owned();
        assert!(pack == std::fs::read(index.with_extension("pack")).unwrap());
        for revisions in [ALL, &["main"], &["main", "side"], &["main~3"], &["v11"]] {
            pushed.check_clone(revisions);
        }
    }
}

#[test]
fn packs_of_several_pushes_are_known_together_and_not_without_those_they_need() {
    for stock in Stock::each() {
        let pushed = Pushed::new(stock.with_history(900));
        let before = ["main~200", "side~70"];
        let between = ["main~60", "side~20"];
        let now = ["main", "side"];
        pushed.push(&before, &[], false);
        assert_eq!(pushed.learnt().unwrap().1, pushed.heads(&before));
        pushed.push(&between, &before, true);
        pushed.push(&["main~50"], &between, true);
        pushed.push(&now, &["main~50", "side~20"], true);
        let packs = pushed.opened().packs();
        assert_eq!(packs.pack_count(), 4);
        // The one that is small stands between: what needs it is not known.
        let (count, tips) = pushed.learnt().unwrap();
        assert!(count < packs.object_count());
        assert_eq!(tips, pushed.heads(&between));
        for revisions in [&now[..], &between, &before, &["main"], &["side~30"]] {
            pushed.check_clone(revisions);
        }
        // Without the first, nothing is known, and what is asked for is missing rather than left out.
        let first = packs.packs()[0].index_path().with_extension("roots");
        std::fs::remove_file(first).unwrap();
        assert_eq!(pushed.learnt(), None);
        pushed.check_clone(&now);
    }
}

#[test]
fn what_nobody_reaches_any_more_is_not_sent() {
    let [stock, _] = Stock::each();
    let pushed = Pushed::new(stock.with_history(1_000));
    let first = ["main~300", "side~100"];
    pushed.push(&first, &[], false);
    pushed.push(&["v1", "main"], &first, false);
    // The second is large and not asked for: the first is known all the same.
    pushed.check_clone(&first);
    pushed.check_clone(&["side"]);
    pushed.check_clone(&["main~100"]);
    pushed.check_clone(&["main", "v1"]);
}

#[test]
fn a_torn_file_is_as_good_as_none() {
    let [stock, _] = Stock::each();
    let pushed = Pushed::new(stock.with_history(400));
    pushed.push(&["main", "side"], &[], false);
    let index = pushed.opened().packs().packs()[0].index_path().to_owned();
    let path = index.with_extension("roots");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(pushed.learnt(), None);
    pushed.check_clone(&["main", "side"]);
    // What a crash left without its pack goes when the repository is next opened.
    std::fs::remove_file(index.with_extension("pack")).unwrap();
    receive::sweep(pushed.folder.path()).unwrap();
    let left = std::fs::read_dir(pushed.folder.path().join("objects/pack")).unwrap();
    assert_eq!(left.count(), 0);
}
