//! Fetches from ordinary folders, where objects lie loose, in packs, and in other folders.

use std::fs;

use super::*;

/// A history of which the older part is packed and all the rest lies loose.
fn half_packed(stock: Stock) -> Stock {
    let stock = stock.with_history(40);
    let index = stock.indices().remove(0);
    let pack = fs::read(index.with_extension("pack")).unwrap();
    for extension in ["idx", "pack", "rev"] {
        fs::remove_file(index.with_extension(extension)).unwrap();
    }
    stock.git_with_input(["unpack-objects", "-q"], &pack);
    let old = stock.id("main~15").to_string();
    stock.git_with_input(
        ["pack-objects", "-q", "--revs", "objects/pack/pack"],
        old.as_bytes(),
    );
    stock.git(["prune-packed", "-q"]);
    stock
}

/// Serves a stock's folder as it lies, with what it borrows from other folders.
fn served(stock: Stock, borrowed: &[&Stock]) -> Served {
    let folders = [&stock].into_iter().chain(borrowed.iter().copied());
    let objects: Vec<_> = folders.map(|stock| stock.path().join("objects")).collect();
    let folder = TempDir::new().unwrap();
    let repository = Repository::open_plain(&objects, &[], folder.path(), stock.format()).unwrap();
    Served {
        packs: repository.packs(),
        repository,
        refs: stock.refs(),
        stock,
        _folder: folder,
    }
}

#[test]
fn loose_objects_go_into_packs_in_every_encoding() {
    for stock in Stock::each() {
        let served = served(half_packed(stock), &[]);
        assert_eq!(served.packs.pack_count(), 2);
        for (thin_pack, ofs_delta) in [(false, false), (false, true), (true, false), (true, true)] {
            let client = Stock::new(served.stock.format());
            let mut request = served.request(&["main~15"], &[]);
            (request.thin_pack, request.ofs_delta) = (thin_pack, ofs_delta);
            served.check_pack(&request, &client);
            let mut request = served.request(&["main", "nested", "blob-tag"], &["main~15"]);
            (request.thin_pack, request.ofs_delta) = (thin_pack, ofs_delta);
            let listed = served.listed(&["main", "nested", "blob-tag", "^main~15"]);
            assert!(set(&served.plan(&request)).is_subset(&listed));
            served.check_pack(&request, &client);
            let main = served.stock.id("main").to_string();
            client.git(["update-ref", "refs/heads/main", &main]);
            client.git(["fsck", "--strict", "--connectivity-only"]);
        }
    }
}

#[test]
fn what_is_borrowed_is_served_like_what_is_owned() {
    for (lender, borrower) in Stock::each().into_iter().zip(Stock::each()) {
        let lender = half_packed(lender);
        let line = format!("{}\n", lender.path().join("objects").display());
        fs::write(borrower.path().join("objects/info/alternates"), line).unwrap();
        let main = lender.id("main").to_string();
        let tree = format!("{main}^{{tree}}");
        let own = borrower.git(["commit-tree", "-p", &main, "-m", "own", &tree]);
        borrower.git(["update-ref", "refs/heads/main", &own]);
        let served = served(borrower, &[&lender]);
        let request = served.request(&["main"], &[]);
        assert!(set(&served.plan(&request)) == served.listed(&["main"]));
        served.check_pack(&request, &Stock::new(served.stock.format()));
    }
}
