//! Tables as the aggregates see them: rows of a type, and indexes from key to key.
//!
//! Invariant: every write marks its transaction, so that the committer knows what a failed closure
//! left behind.

use std::{borrow::Borrow, marker::PhantomData, ops::RangeBounds};

use redb::{Key, ReadTransaction, ReadableTable, Table, TableDefinition, Value, WriteTransaction};

use super::{
    StoreError, Transaction,
    codec::{self, Record},
};

/// Where rows can be read from: a [`Snapshot`] or the [`Transaction`] that is under way.
pub trait Reads {
    /// Opens a table; each may be open once at a time within a transaction.
    ///
    /// # Errors
    /// When the database fails.
    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<impl ReadableTable<K, V>, StoreError>;
}

/// Everything committed up to one moment.
pub struct Snapshot(ReadTransaction);

impl Snapshot {
    pub(super) fn new(transaction: ReadTransaction) -> Self {
        Self(transaction)
    }
}

impl Reads for Snapshot {
    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<impl ReadableTable<K, V>, StoreError> {
        self.0.open_table(definition).map_err(StoreError::database)
    }
}

/// A table whose values are redb's own types: an index or a counter.
pub(super) struct Index<K: Key + 'static, V: Value + 'static> {
    name: &'static str,
    definition: TableDefinition<'static, K, V>,
}

impl<K: Key + 'static, V: Value + 'static> Index<K, V> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            definition: TableDefinition::new(name),
        }
    }

    /// Makes the table, which every release after the first expects to be there.
    pub(super) fn create(&self, database: &WriteTransaction) -> Result<(), StoreError> {
        database
            .open_table(self.definition)
            .map(drop)
            .map_err(StoreError::database)
    }

    /// The value at `key`, turned into something owned by `read`.
    pub(super) fn get<'k, T>(
        &self,
        from: &impl Reads,
        key: impl Borrow<K::SelfType<'k>>,
        read: impl FnOnce(V::SelfType<'_>) -> T,
    ) -> Result<Option<T>, StoreError> {
        let table = from.table(self.definition)?;
        let found = table.get(key).map_err(StoreError::database)?;
        Ok(found.map(|value| read(value.value())))
    }

    pub(super) fn put<'k, 'v>(
        &self,
        to: &Transaction<'_>,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<(), StoreError> {
        to.table_to_write(self.definition)?
            .insert(key, value)
            .map(drop)
            .map_err(StoreError::database)
    }

    /// Removes what is at `key` and says whether there was something.
    pub(super) fn remove<'k>(
        &self,
        from: &Transaction<'_>,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<bool, StoreError> {
        let mut table = from.table_to_write(self.definition)?;
        let removed = table.remove(key).map_err(StoreError::database)?.is_some();
        Ok(removed)
    }

    /// Removes all entries of a range.
    pub(super) fn remove_range<'k, KR>(
        &self,
        from: &Transaction<'_>,
        range: impl RangeBounds<KR> + 'k,
    ) -> Result<(), StoreError>
    where
        KR: Borrow<K::SelfType<'k>> + 'k,
    {
        from.table_to_write(self.definition)?
            .retain_in(range, |_, _| false)
            .map_err(StoreError::database)
    }

    /// At most `limit` entries of a range in key order, each turned into something owned.
    pub(super) fn scan<'k, KR, T>(
        &self,
        from: &impl Reads,
        range: impl RangeBounds<KR> + 'k,
        limit: usize,
        mut each: impl FnMut(K::SelfType<'_>, V::SelfType<'_>) -> T,
    ) -> Result<Vec<T>, StoreError>
    where
        KR: Borrow<K::SelfType<'k>> + 'k,
    {
        let table = from.table(self.definition)?;
        let mut found = Vec::new();
        for entry in table
            .range(range)
            .map_err(StoreError::database)?
            .take(limit)
        {
            let (key, value) = entry.map_err(StoreError::database)?;
            found.push(each(key.value(), value.value()));
        }
        Ok(found)
    }

    /// Like [`Index::scan`], from the end of the range backwards.
    pub(super) fn scan_backwards<'k, KR, T>(
        &self,
        from: &impl Reads,
        range: impl RangeBounds<KR> + 'k,
        limit: usize,
        mut each: impl FnMut(K::SelfType<'_>, V::SelfType<'_>) -> T,
    ) -> Result<Vec<T>, StoreError>
    where
        KR: Borrow<K::SelfType<'k>> + 'k,
    {
        let table = from.table(self.definition)?;
        let mut found = Vec::new();
        let range = table.range(range).map_err(StoreError::database)?;
        for entry in range.rev().take(limit) {
            let (key, value) = entry.map_err(StoreError::database)?;
            found.push(each(key.value(), value.value()));
        }
        Ok(found)
    }
}

/// A table of encoded rows.
pub(super) struct Rows<K: Key + 'static, R> {
    index: Index<K, &'static [u8]>,
    record: PhantomData<fn() -> R>,
}

impl<K: Key + 'static, R: Record> Rows<K, R> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            index: Index::new(name),
            record: PhantomData,
        }
    }

    pub(super) fn create(&self, database: &WriteTransaction) -> Result<(), StoreError> {
        self.index.create(database)
    }

    pub(super) fn get<'k>(
        &self,
        from: &impl Reads,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<Option<R>, StoreError> {
        self.index
            .get(from, key, |bytes| codec::decode(self.index.name, bytes))?
            .transpose()
    }

    pub(super) fn put<'k>(
        &self,
        to: &Transaction<'_>,
        key: impl Borrow<K::SelfType<'k>>,
        row: &R,
    ) -> Result<(), StoreError> {
        let bytes = codec::encode(self.index.name, row)?;
        self.index.put(to, key, bytes.as_slice())
    }

    pub(super) fn remove<'k>(
        &self,
        from: &Transaction<'_>,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<bool, StoreError> {
        self.index.remove(from, key)
    }
}

impl<K: Key + 'static, R: Record> Rows<K, R> {
    /// Removes all rows of a range.
    pub(super) fn remove_range<'k, KR>(
        &self,
        from: &Transaction<'_>,
        range: impl RangeBounds<KR> + 'k,
    ) -> Result<(), StoreError>
    where
        KR: Borrow<K::SelfType<'k>> + 'k,
    {
        self.index.remove_range(from, range)
    }

    /// At most `limit` rows of a range in key order, each turned into something owned.
    pub(super) fn scan<'k, KR, T>(
        &self,
        from: &impl Reads,
        range: impl RangeBounds<KR> + 'k,
        limit: usize,
        mut each: impl FnMut(K::SelfType<'_>, R) -> T,
    ) -> Result<Vec<T>, StoreError>
    where
        KR: Borrow<K::SelfType<'k>> + 'k,
    {
        let name = self.index.name;
        self.index
            .scan(from, range, limit, |key, bytes| {
                codec::decode(name, bytes).map(|row| each(key, row))
            })?
            .into_iter()
            .collect()
    }

    /// Like [`Rows::scan`], from the end of the range backwards.
    pub(super) fn scan_backwards<'k, KR, T>(
        &self,
        from: &impl Reads,
        range: impl RangeBounds<KR> + 'k,
        limit: usize,
        mut each: impl FnMut(K::SelfType<'_>, R) -> T,
    ) -> Result<Vec<T>, StoreError>
    where
        KR: Borrow<K::SelfType<'k>> + 'k,
    {
        let name = self.index.name;
        self.index
            .scan_backwards(from, range, limit, |key, bytes| {
                codec::decode(name, bytes).map(|row| each(key, row))
            })?
            .into_iter()
            .collect()
    }
}

/// A table of encoded rows that stays open for many writes: opening one costs as much as several
/// of them.
pub(super) struct OpenRows<'t, K: Key + 'static, R> {
    name: &'static str,
    table: Table<'t, K, &'static [u8]>,
    record: PhantomData<fn() -> R>,
}

impl<K: Key + 'static, R: Record> Rows<K, R> {
    pub(super) fn open<'t>(&self, to: &Transaction<'t>) -> Result<OpenRows<'t, K, R>, StoreError> {
        Ok(OpenRows {
            name: self.index.name,
            table: to.table_to_write(self.index.definition)?,
            record: PhantomData,
        })
    }
}

impl<K: Key + 'static, R: Record> OpenRows<'_, K, R> {
    pub(super) fn get<'k>(
        &self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<Option<R>, StoreError> {
        let found = self.table.get(key).map_err(StoreError::database)?;
        found
            .map(|bytes| codec::decode(self.name, bytes.value()))
            .transpose()
    }

    pub(super) fn put<'k>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        row: &R,
    ) -> Result<(), StoreError> {
        let bytes = codec::encode(self.name, row)?;
        self.table
            .insert(key, bytes.as_slice())
            .map(drop)
            .map_err(StoreError::database)
    }

    pub(super) fn remove<'k>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<(), StoreError> {
        self.table
            .remove(key)
            .map(drop)
            .map_err(StoreError::database)
    }
}

impl<K: Key + 'static, V: Value + 'static> Index<K, V> {
    /// The bare table, for many writes in a row.
    pub(super) fn open<'t>(&self, to: &Transaction<'t>) -> Result<Table<'t, K, V>, StoreError> {
        to.table_to_write(self.definition)
    }
}
