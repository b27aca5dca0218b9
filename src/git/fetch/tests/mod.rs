//! What a fetch sends, held against what stock git would send and takes.

mod deltas;
mod filters;
mod learnt;
mod plain;

use std::collections::BTreeSet;

use gix_object::Kind;
use tempfile::TempDir;

use super::*;
use crate::{
    git::{Repository, fixture::Stock},
    model::{ObjectFormat, RefEntry, RefName},
};

/// A server's repository made by git and opened by the engine.
struct Served {
    stock: Stock,
    repository: Repository,
    packs: Arc<PackSet>,
    refs: RefSnapshot,
    _folder: TempDir,
}

impl Served {
    fn new(stock: Stock) -> Self {
        let (folder, repository) = stock.opened();
        Self {
            packs: repository.packs(),
            repository,
            refs: stock.refs(),
            stock,
            _folder: folder,
        }
    }

    fn each(commits: u32) -> [Self; 2] {
        Stock::each().map(|stock| Self::new(stock.with_history(commits)))
    }

    fn ids(&self, revisions: &[&str]) -> Vec<ObjectId> {
        revisions
            .iter()
            .map(|revision| self.stock.id(revision))
            .collect()
    }

    fn request(&self, wants: &[&str], haves: &[&str]) -> FetchRequest {
        FetchRequest {
            wants: self.ids(wants),
            haves: self.ids(haves),
            ofs_delta: true,
            ..FetchRequest::default()
        }
    }

    fn plan(&self, request: &FetchRequest) -> PackPlan {
        let packs = Arc::clone(&self.packs);
        prepare(&self.repository, packs, &self.refs, request, &mut |_| {}).unwrap()
    }

    /// Ids that `git rev-list --objects` prints for these arguments.
    fn listed(&self, args: &[&str]) -> BTreeSet<ObjectId> {
        let fixed = ["rev-list", "--objects", "--no-object-names"];
        let text = self.stock.git(fixed.iter().chain(args));
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Bytes of the pack that stock git makes of the same objects.
    fn length_by_git(&self, request: &FetchRequest) -> usize {
        let lines = |ids: &[ObjectId]| ids.iter().map(|id| format!("{id}\n")).collect::<String>();
        let input = format!("{}--not\n{}", lines(&request.wants), lines(&request.haves));
        let mut args = vec!["pack-objects", "-q", "--revs", "--stdout"];
        args.extend(request.thin_pack.then_some("--thin"));
        args.extend(request.ofs_delta.then_some("--delta-base-offset"));
        self.stock.git_with_input(args, input.as_bytes()).len()
    }

    #[track_caller]
    fn check_pack(&self, request: &FetchRequest, client: &Stock) -> Vec<u8> {
        self.check_plan(&self.plan(request), client)
    }

    #[track_caller]
    fn check_plan(&self, plan: &PackPlan, client: &Stock) -> Vec<u8> {
        let mut pack = Vec::new();
        let mut last = Progress::Counting(0);
        plan.write_to(
            &mut |bytes| {
                assert!(bytes.len() <= 64 << 10);
                pack.extend_from_slice(bytes);
                Ok(())
            },
            &mut |progress| last = progress,
        )
        .unwrap();
        assert_eq!(last, Progress::Writing(plan.object_count().into()));
        // The second writing is kept, the third comes from what was kept.
        for _ in 0..2 {
            assert!(written(plan) == pack);
        }
        assert_eq!(pack[8..12], plan.object_count().to_be_bytes());
        client.git_with_input(["index-pack", "--stdin", "--fix-thin"], &pack);
        pack
    }
}

fn written(plan: &PackPlan) -> Vec<u8> {
    let mut pack = Vec::new();
    let mut sink = |bytes: &[u8]| {
        pack.extend_from_slice(bytes);
        Ok(())
    };
    plan.write_to(&mut sink, &mut |_| {}).unwrap();
    pack
}

fn set(plan: &PackPlan) -> BTreeSet<ObjectId> {
    let ids: BTreeSet<_> = plan.object_ids().collect();
    assert_eq!(ids.len(), plan.object_count() as usize);
    ids
}

#[test]
fn a_clone_gets_what_rev_list_lists_and_nothing_else() {
    for served in Served::each(60) {
        let all = served.listed(&["--all"]);
        let mut request = served.request(&[], &[]);
        request.wants = served.refs.entries().iter().map(|entry| entry.id).collect();
        assert_eq!(set(&served.plan(&request)), all);
        let client = Stock::new(served.stock.format());
        let pack = served.check_pack(&request, &client);
        let on_disk = std::fs::read(served.stock.indices()[0].with_extension("pack")).unwrap();
        assert!(pack == on_disk, "a pack wanted whole is sent as it lies");
        for want in [
            "main~7",
            "side",
            "v11",
            "nested",
            "tree-tag",
            "blob-tag",
            "main:src",
            "main:README",
        ] {
            let plan = served.plan(&served.request(&[want], &[]));
            assert_eq!(set(&plan), served.listed(&[want]), "wanting {want}");
        }
    }
}

#[test]
fn parts_of_packs_arrive_whole_in_every_encoding() {
    for served in Served::each(60) {
        for (thin_pack, ofs_delta) in [(false, false), (false, true), (true, false), (true, true)] {
            let client = Stock::new(served.stock.format());
            let mut had: Vec<&str> = Vec::new();
            for want in ["main~40", "side~2", "main~9", "side", "main", "v31"] {
                let request = FetchRequest {
                    thin_pack,
                    ofs_delta,
                    ..served.request(&[want], &had)
                };
                served.check_pack(&request, &client);
                client.git(["update-ref", "refs/now", &served.stock.id(want).to_string()]);
                client.git(["fsck", "--strict", "--connectivity-only"]);
                had.push(want);
            }
            client.git(["fsck", "--strict"]);
        }
    }
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    for served in Served::each(60) {
        for (wants, haves) in [
            (&["main"][..], &["main~1"][..]),
            (&["main"], &["main~20"]),
            (&["main", "side"], &["main~8", "side~5"]),
            (&["main"], &["side"]),
            (&["v51"], &["v41"]),
            (&["side"], &["main"]),
            (&["main~10"], &["main"]),
        ] {
            let plan = served.plan(&served.request(wants, haves));
            let mut args = wants.to_vec();
            args.push("--not");
            args.extend(haves);
            let needed: BTreeSet<_> = {
                let (all, there) = (served.listed(wants), served.listed(haves));
                all.difference(&there).copied().collect()
            };
            let sent = set(&plan);
            assert!(needed.is_subset(&sent), "{wants:?} without {haves:?}");
            assert!(
                sent.is_subset(&served.listed(&args)),
                "{wants:?} without {haves:?}"
            );
        }
    }
}

#[test]
fn a_thin_pack_is_smaller_and_a_base_the_client_lacks_is_never_used() {
    let [served, _] = Served::each(60);
    let client = Stock::new(ObjectFormat::Sha1);
    served.check_pack(&served.request(&["main~5"], &[]), &client);
    let whole = served.check_pack(&served.request(&["main"], &["main~5"]), &client);
    let thin = FetchRequest {
        thin_pack: true,
        ..served.request(&["main"], &["main~5"])
    };
    let thin = served.check_pack(&thin, &client);
    assert!(thin.len() < whole.len(), "{} < {}", thin.len(), whole.len());
}

#[test]
fn what_a_large_pack_holds_is_found_once_and_found_rightly_when_the_wants_move() {
    let [served, _] = Served::each(400);
    assert!(delta::finds_little(&served.packs));
    let client = Stock::new(served.stock.format());
    // Forward, sideways, back, and to where it was before.
    for wants in [
        &["main~90"][..],
        &["main~40", "tree-tag"],
        &["main", "side"],
        &["side"],
        &["main~200"],
        &["main", "side"],
    ] {
        let request = served.request(wants, &[]);
        let listed = served.listed(wants);
        assert_eq!(set(&served.plan(&request)), listed, "{wants:?}");
        served.check_pack(&request, &client);
    }
}

#[test]
fn objects_in_several_packs_are_sent_once_and_by_bases_in_any_pack() {
    for served in Served::each(60) {
        // The same objects again in packs that overlap, with other deltas.
        let stock = served.stock;
        for tip in ["main~30", "main~3", "side", "main"] {
            let list = format!("{}\n", stock.id(tip));
            stock.git_with_input(
                [
                    "pack-objects",
                    "-q",
                    "--revs",
                    "--depth=5",
                    "--no-reuse-delta",
                    "objects/pack/pack",
                ],
                list.as_bytes(),
            );
        }
        let served = Served::new(stock);
        assert!(served.packs.pack_count() >= 4);
        for ofs_delta in [true, false] {
            let mut request = served.request(&[], &[]);
            request.ofs_delta = ofs_delta;
            request.wants = served.refs.entries().iter().map(|entry| entry.id).collect();
            assert_eq!(set(&served.plan(&request)), served.listed(&["--all"]));
            served.check_pack(&request, &Stock::new(served.stock.format()));
            request.wants = served.ids(&["main~4", "side~1"]);
            served.check_pack(&request, &Stock::new(served.stock.format()));
        }
    }
}

#[test]
fn tags_of_what_is_sent_come_along_when_asked() {
    let [served, _] = Served::each(40);
    let mut request = served.request(&["main"], &["main~12"]);
    let without = set(&served.plan(&request));
    request.include_tag = true;
    let with = set(&served.plan(&request));
    let added: BTreeSet<_> = with.difference(&without).copied().collect();
    let of_sent = |tag: &&&str| without.contains(&served.stock.id(&format!("{tag}^{{}}")));
    let expected = ["v1", "v11", "v21", "v31", "nested", "tree-tag"]
        .iter()
        .filter(of_sent);
    assert_eq!(added, expected.map(|tag| served.stock.id(tag)).collect());
    assert!(!added.is_empty());
}

#[test]
fn a_sink_that_stops_ends_the_work() {
    let [served, _] = Served::each(40);
    let plan = served.plan(&served.request(&["main~3"], &[]));
    let mut slices = 0;
    let mut sink = |_: &[u8]| {
        slices += 1;
        Err(Stopped)
    };
    assert_eq!(
        plan.write_to(&mut sink, &mut |_| {}),
        Err(WriteError::Stopped(Stopped))
    );
    assert_eq!(slices, 1);
}

#[test]
fn a_pack_is_kept_when_it_is_asked_for_again_and_read_to_its_end() {
    let [served, _] = Served::each(40);
    let plan = served.plan(&served.request(&["main~3"], &[]));
    let empty = plan.memory_bytes();
    let pack = written(&plan);
    assert_eq!(plan.memory_bytes(), empty);
    let mut chunks = 0;
    let mut hangs_up = |_: &[u8]| {
        chunks += 1;
        if chunks < 2 { Ok(()) } else { Err(Stopped) }
    };
    plan.write_to(&mut hangs_up, &mut |_| {}).unwrap_err();
    assert_eq!(plan.memory_bytes(), empty);
    assert!(written(&plan) == pack);
    assert_eq!(plan.memory_bytes(), empty + pack.len());
    assert!(written(&plan) == pack);
}

#[test]
fn a_want_that_is_not_here_is_an_error() {
    let [served, _] = Served::each(40);
    let nowhere = ObjectId::null(gix_hash::Kind::Sha1);
    let request = FetchRequest {
        wants: vec![nowhere],
        haves: vec![nowhere],
        ..FetchRequest::default()
    };
    let refused = prepare(
        &served.repository,
        served.packs,
        &served.refs,
        &request,
        &mut |_| {},
    );
    assert_eq!(refused.unwrap_err(), ReadError::Missing(nowhere));
}

/// A shallow clone that packs of the engine are put into, beside one that stock git keeps.
struct ShallowClone<'a> {
    served: &'a Served,
    ours: Stock,
    stock: Stock,
    boundary: Vec<ObjectId>,
    had: Vec<ObjectId>,
}

impl<'a> ShallowClone<'a> {
    fn of(served: &'a Served) -> Self {
        let format = served.stock.format();
        Self {
            served,
            ours: Stock::new(format),
            stock: Stock::new(format),
            boundary: Vec::new(),
            had: Vec::new(),
        }
    }

    #[track_caller]
    fn fetches(&mut self, want: &str, option: &str, deepen: &Deepen) {
        let wants = [self.served.stock.id(want)];
        let change = boundary(
            Arc::clone(&self.served.packs),
            &wants,
            &self.boundary,
            deepen,
        )
        .unwrap();
        let request = FetchRequest {
            wants: wants.to_vec(),
            haves: self.had.clone(),
            client_shallows: self.boundary.clone(),
            shallow: change.shallow.clone(),
            unshallow: change.unshallow.clone(),
            thin_pack: true,
            ofs_delta: true,
            ..FetchRequest::default()
        };
        self.served.check_pack(&request, &self.ours);
        self.had.extend(wants);
        self.boundary
            .retain(|commit| !change.unshallow.contains(commit));
        self.boundary.extend(change.shallow);
        let lines: String = self
            .boundary
            .iter()
            .map(|commit| format!("{commit}\n"))
            .collect();
        std::fs::write(self.ours.path().join("shallow"), lines).unwrap();
        self.ours
            .git(["update-ref", "refs/now", &wants[0].to_string()]);
        self.ours.git(["fsck", "--strict"]);

        let url = format!("file://{}", self.served.stock.path().display());
        let refspec = format!("+{want}:refs/now");
        self.stock
            .git(["fetch", "-q", "--no-tags", option, &url, &refspec]);
        let text = std::fs::read_to_string(self.stock.path().join("shallow")).unwrap_or_default();
        let expected: BTreeSet<ObjectId> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(
            self.boundary.iter().copied().collect::<BTreeSet<_>>(),
            expected,
            "{option}"
        );
        let list = ["rev-list", "--objects", "--no-object-names", "refs/now"];
        let sorted = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(
            sorted(self.ours.git(list)),
            sorted(self.stock.git(list)),
            "{option}"
        );
    }
}

#[test]
fn a_shallow_clone_deepens_moves_on_and_becomes_whole_as_with_git() {
    for served in Served::each(60) {
        served.stock.git(["branch", "older", "main~10"]);
        let mut clone = ShallowClone::of(&served);
        clone.fetches("older", "--depth=1", &Deepen::Depth(1));
        clone.fetches("older", "--depth=3", &Deepen::Depth(3));
        clone.fetches("older", "--deepen=2", &Deepen::By(2));
        clone.fetches("main", "--depth=2", &Deepen::Depth(2));
        clone.fetches("main", "--depth=12", &Deepen::Depth(12));
        clone.fetches("side", "--depth=4", &Deepen::Depth(4));
        clone.fetches("main", "--unshallow", &Deepen::Depth(Deepen::INFINITE));
        assert!(clone.boundary.is_empty());
    }
}

#[test]
fn a_history_is_cut_by_date_and_by_what_a_ref_reaches() {
    for served in Served::each(60) {
        let since = 1_700_000_000 + 45 * 60;
        let not = served.ids(&["v31"]);
        let by_date = Deepen::Excluding {
            since: Some(since),
            not: Vec::new(),
        };
        let by_ref = Deepen::Excluding { since: None, not };
        let mut clone = ShallowClone::of(&served);
        clone.fetches("main", &format!("--shallow-since=@{since}"), &by_date);
        clone.fetches("main", "--shallow-exclude=v31", &by_ref);
        let nothing = Deepen::Excluding {
            since: Some(since * 2),
            not: Vec::new(),
        };
        let refused = boundary(served.packs.clone(), &served.ids(&["main"]), &[], &nothing);
        assert_eq!(refused, Err(DeepenError::NothingSelected));
    }
}

#[test]
fn negotiation_ends_when_every_want_reaches_a_common_commit() {
    for served in Served::each(40) {
        let mut negotiation = Negotiation::new(Arc::clone(&served.packs));
        let nowhere = ObjectId::null(served.stock.format().kind());
        let haves = [served.ids(&["main~3"])[0], nowhere, served.ids(&["v1"])[0]];
        assert_eq!(negotiation.common(&haves), [haves[0], haves[2]]);
        for (wants, common, expected) in [
            (&["main"][..], &["main~3"][..], true),
            (&["main"], &[], false),
            (&["main~3"], &["main"], false),
            (&["main", "side"], &["main~1"], false),
            (&["main", "side"], &["main~1", "side~2"], true),
            (&["v31", "tree-tag"], &["v1"], true),
            (&["main", "main~1", "main~2"], &["main~20"], true),
        ] {
            let ready = negotiation.ready(&served.ids(wants), &served.ids(common));
            assert_eq!(ready, Ok(expected), "{wants:?} over {common:?}");
        }
    }
}

#[test]
fn only_what_the_given_refs_reach_is_visible() {
    for served in Served::each(40) {
        let refs = |names: &[&str]| {
            let entry = |name: &&str| RefEntry {
                name: RefName::branch(&name.replace('~', "-")).unwrap(),
                id: served.stock.id(name),
                peeled: None,
            };
            let head = RefName::branch("main").unwrap();
            RefSnapshot::new(1, head, names.iter().map(entry).collect())
        };
        let check = |names: &[&str], want: &str, visible: bool| {
            let want = served.stock.id(want);
            let answer = refused(&served.repository, &served.packs, &refs(names), &[want]);
            assert_eq!(
                answer,
                Ok((!visible).then_some(want)),
                "{want} by {names:?}"
            );
        };
        check(&["main~10"], "main~10", true);
        check(&["main~10"], "main~12", true);
        check(&["main~10"], "main~9", false);
        check(&["main~10"], "main~12:README", true);
        check(&["main~10"], "main~9:README", false);
        check(&["main~10"], "main~12:src", true);
        // The branch moves on, then back to another line: nothing may stay visible.
        check(&["main~5"], "main~9:README", true);
        check(&["main~5"], "main~4:README", false);
        check(&["main~5"], "main~8", true);
        check(&["side"], "main~5", false);
        check(&["side"], "main~5:README", false);
        check(&["side"], "side~1:README", true);
        check(&["main~25"], "side", false);
        // A caller who sees less at the same time is told by what it sees.
        check(&["main~5", "side"], "side~1:README", true);
        check(&["main~5"], "side:README", false);
        let nowhere = ObjectId::null(served.stock.format().kind());
        let answer = refused(
            &served.repository,
            &served.packs,
            &refs(&["main"]),
            &[nowhere],
        );
        assert_eq!(answer, Ok(Some(nowhere)));
        // Names alone: what a ref reaches without naming it does not count.
        let named = |id| unnamed(&refs(&["main~10"]), &served.packs, &[id]).is_none();
        assert!(named(served.stock.id("main~10")));
        assert!(!named(served.stock.id("main~11")));
        assert!(!named(nowhere));
        // Judged together, each is judged as it would be alone.
        let mixed = served.ids(&[
            "main~10",
            "main~12:README",
            "main~9",
            "main~9:README",
            "side",
        ]);
        let all = [&mixed[..], &[nowhere]].concat();
        let together = hidden(&served.repository, &served.packs, &refs(&["main~10"]), &all);
        let expected = [&mixed[2..], &[nowhere]].concat();
        assert_eq!(together, Ok(expected.into_iter().collect()));
        let alone = hidden(
            &served.repository,
            &served.packs,
            &refs(&["main"]),
            &[nowhere],
        );
        assert_eq!(alone, Ok([nowhere].into()));
    }
}
