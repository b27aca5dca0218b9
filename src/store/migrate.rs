//! Brings a store from the version it has to the version this release wants, step by step.
//!
//! Invariant: each step and the new version number commit together, so a crash between two steps
//! leaves a whole store of the lower version; steps are appended, never changed.
//! Not here: rows of older versions, which are converted as they are read (`codec`).

use redb::{Database, ReadableDatabase, TableDefinition, TableError, WriteTransaction};

use super::{
    OpenError, StoreError, audit, committer, deploy_keys, issuers, memberships, namespaces,
    origins, refs, repositories, robots, ssh_keys, tokens, upstreams, users,
};

const STORE: TableDefinition<'static, &str, u64> = TableDefinition::new("store");

/// One step from a version to the next.
pub(super) type Step = fn(&WriteTransaction) -> Result<(), StoreError>;

/// Step number `n` leads from version `n` to version `n + 1`; an empty file has version 0.
pub(super) const STEPS: &[Step] = &[
    create_tables,
    origins::create_tables,
    upstreams::create_tables,
];

fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    committer::create_tables(database)?;
    namespaces::create_tables(database)?;
    users::create_tables(database)?;
    memberships::create_tables(database)?;
    repositories::create_tables(database)?;
    refs::create_tables(database)?;
    tokens::create_tables(database)?;
    ssh_keys::create_tables(database)?;
    deploy_keys::create_tables(database)?;
    robots::create_tables(database)?;
    issuers::create_tables(database)?;
    audit::create_tables(database)
}

/// Runs the steps that this store has not seen.
pub(super) fn run(database: &Database, steps: &[Step]) -> Result<(), OpenError> {
    let known = steps.len() as u64;
    let found = version(database).map_err(|cause| OpenError::Migration { from: 0, cause })?;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (from, step) in (0..).zip(steps) {
        if from < found {
            continue;
        }
        advance(database, from, *step).map_err(|cause| OpenError::Migration { from, cause })?;
        tracing::info!(version = from + 1, "store migrated");
    }
    Ok(())
}

/// The version of a store; a new file has version 0.
fn version(database: &Database) -> Result<u64, StoreError> {
    let snapshot = database.begin_read().map_err(StoreError::database)?;
    let table = match snapshot.open_table(STORE) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(0),
        Err(cause) => return Err(StoreError::database(cause)),
    };
    let version = table.get("version").map_err(StoreError::database)?;
    Ok(version.map_or(0, |version| version.value()))
}

fn advance(database: &Database, from: u64, step: Step) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(StoreError::database)?;
    step(&transaction)?;
    transaction
        .open_table(STORE)
        .map_err(StoreError::database)?
        .insert("version", from + 1)
        .map_err(StoreError::database)?;
    transaction.commit().map_err(StoreError::database)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELVES: TableDefinition<'static, &str, u64> = TableDefinition::new("shelves");

    fn add_shelves(database: &WriteTransaction) -> Result<(), StoreError> {
        database
            .open_table(SHELVES)
            .map_err(StoreError::database)?
            .insert("first", 1)
            .map_err(StoreError::database)
            .map(drop)
    }

    fn fail(_: &WriteTransaction) -> Result<(), StoreError> {
        Err(StoreError::Inconsistent("a test".to_owned()))
    }

    #[test]
    fn an_older_store_is_brought_forward_and_then_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("packhorse.redb");
        let older = Database::create(&file).unwrap();
        run(&older, STEPS).unwrap();
        drop(older);

        let steps: Vec<Step> = STEPS.iter().copied().chain([add_shelves as Step]).collect();
        let opened = Database::open(&file).unwrap();
        run(&opened, &steps).unwrap();
        run(&opened, &steps).unwrap();
        assert_eq!(version(&opened).unwrap(), STEPS.len() as u64 + 1);
        let shelves = opened.begin_read().unwrap().open_table(SHELVES).unwrap();
        assert_eq!(shelves.get("first").unwrap().unwrap().value(), 1);
    }

    #[test]
    fn a_failing_step_leaves_the_version_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Database::create(folder.path().join("packhorse.redb")).unwrap();
        let steps: Vec<Step> = STEPS.iter().copied().chain([fail as Step]).collect();
        let refused = run(&store, &steps).unwrap_err();
        assert!(matches!(refused, OpenError::Migration { from, .. } if from == STEPS.len() as u64));
        assert_eq!(version(&store).unwrap(), STEPS.len() as u64);
    }

    #[test]
    fn a_newer_store_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Database::create(folder.path().join("packhorse.redb")).unwrap();
        run(&store, STEPS).unwrap();
        let refused = run(&store, &[]).unwrap_err();
        let found = STEPS.len() as u64;
        assert!(matches!(refused, OpenError::Newer { found: f, known: 0 } if f == found));
    }
}
