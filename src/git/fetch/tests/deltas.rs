//! Deltas that are made when a pack is written, judged by stock git and by the size of its own packs.

use super::*;

#[test]
fn what_lies_whole_is_sent_as_a_delta_against_what_the_client_has() {
    for stock in Stock::each() {
        let served = Served::new(stock.with_history(60).in_small_packs(2));
        assert!(served.packs.pack_count() > 20);
        let client = Stock::new(served.stock.format());
        served.check_pack(&served.request(&["main~3"], &[]), &client);
        let request = |thin_pack, ofs_delta| FetchRequest {
            thin_pack,
            ofs_delta,
            ..served.request(&["main"], &["main~3"])
        };
        let self_contained = served.check_pack(&request(false, true), &client);
        let thin = served.check_pack(&request(true, true), &client);
        served.check_pack(&request(true, false), &client);
        client.git([
            "update-ref",
            "refs/now",
            &served.stock.id("main").to_string(),
        ]);
        client.git(["fsck", "--strict"]);
        let of_git = served.length_by_git(&request(true, true));
        assert!(
            thin.len() < self_contained.len(),
            "{} where one without bases elsewhere has {}",
            thin.len(),
            self_contained.len()
        );
        assert!(
            thin.len() <= of_git + of_git / 4,
            "{} where git sends {of_git}",
            thin.len()
        );
    }
}

#[test]
fn small_packs_are_joined_by_deltas_in_every_encoding() {
    for stock in Stock::each() {
        let served = Served::new(stock.with_history(60).in_small_packs(3));
        for (thin_pack, ofs_delta) in [(false, false), (false, true), (true, false), (true, true)] {
            let client = Stock::new(served.stock.format());
            let mut had: Vec<&str> = Vec::new();
            for want in ["main~9", "side", "main", "v31"] {
                let request = FetchRequest {
                    thin_pack,
                    ofs_delta,
                    ..served.request(&[want], &had)
                };
                served.check_pack(&request, &client);
                had.push(want);
            }
            client.git([
                "update-ref",
                "refs/main",
                &served.stock.id("main").to_string(),
            ]);
            client.git([
                "update-ref",
                "refs/side",
                &served.stock.id("side").to_string(),
            ]);
            client.git(["fsck", "--strict"]);
            let clone = FetchRequest {
                ofs_delta,
                ..served.request(&["main", "side"], &[])
            };
            let pack = served.check_pack(&clone, &Stock::new(served.stock.format()));
            let of_git = served.length_by_git(&clone);
            assert!(
                pack.len() <= of_git + of_git / 4,
                "{} where git sends {of_git}",
                pack.len()
            );
        }
    }
}

#[test]
fn a_search_that_used_up_its_bytes_leaves_the_rest_as_it_lies() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let served = Served::new(stock.with_history(60).in_small_packs(3));
    let clone = served.request(&["main", "side"], &[]);
    let mut lengths = [0, 1, 50_000, u64::MAX].map(|bytes| {
        let plan = served.plan(&clone).with_search_bytes_max(bytes);
        let client = Stock::new(ObjectFormat::Sha1);
        let pack = served.check_plan(&plan, &client);
        client.git([
            "update-ref",
            "refs/main",
            &served.stock.id("main").to_string(),
        ]);
        client.git([
            "update-ref",
            "refs/side",
            &served.stock.id("side").to_string(),
        ]);
        client.git(["fsck", "--strict"]);
        pack.len()
    });
    lengths.reverse();
    assert!(lengths.is_sorted(), "{lengths:?}");
    assert!(
        lengths[0] < lengths[1] && lengths[1] < lengths[3],
        "{lengths:?}"
    );
}

#[test]
fn chains_of_new_deltas_end() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let mut stream = String::new();
    let mut lines: Vec<_> = (0..200).map(|n| format!("line {}", n * n * 7919)).collect();
    for n in 0..60 {
        // Each version is shorter than the one before, so that they are compared in this order.
        lines[n] = n.to_string();
        let text = lines.join("\n");
        let committer = "committer Carl <carl@example.org> 1700000000 +0000";
        stream += &format!("commit refs/heads/main\n{committer}\ndata 4\nmore\n");
        stream += &format!("M 644 inline file\ndata {}\n{text}\n", text.len());
    }
    stock.import(&stream);
    stock.git(["branch", "side", "main"]);
    stock.git(["repack", "-q", "-a", "-d"]);
    let served = Served::new(stock.in_small_packs(1));
    let client = Stock::new(ObjectFormat::Sha1);
    served.check_pack(&served.request(&["main", "side"], &[]), &client);
    let index = client.indices().remove(0);
    let text = client.git(["verify-pack", "-v", index.to_str().unwrap()]);
    let lengths = text
        .lines()
        .filter_map(|line| line.strip_prefix("chain length = "))
        .filter_map(|line| line.split(':').next()?.parse().ok());
    let longest: Option<u32> = lengths.max();
    assert_eq!(longest, Some(delta::DEPTH_MAX));
}

#[test]
fn shallow_clones_of_small_packs_deepen_as_with_git() {
    for stock in Stock::each() {
        let served = Served::new(stock.with_history(60).in_small_packs(3));
        served.stock.git(["branch", "older", "main~10"]);
        let mut clone = ShallowClone::of(&served);
        clone.fetches("older", "--depth=1", &Deepen::Depth(1));
        clone.fetches("older", "--depth=3", &Deepen::Depth(3));
        clone.fetches("main", "--depth=2", &Deepen::Depth(2));
        clone.fetches("side", "--depth=4", &Deepen::Depth(4));
        clone.fetches("main", "--unshallow", &Deepen::Depth(Deepen::INFINITE));
    }
}
