//! A folder as the operating system keeps it: what programs see, in its cache, and what is on the
//! disk; and what may be found there after the power has failed.
//!
//! Only a sync makes a write certain, and only a sync of the folder a name. Before it, each piece of a
//! write may be on the disk or not, in any order. After a sync that failed the system believes that it
//! has written what it has not: the cache has it, and no later sync will write it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::strace::Step;

/// What is written at once: more may be torn.
const SECTOR: usize = 512;
/// What the system caches as one.
const PAGE: usize = 4096;

#[derive(Default)]
pub struct Disk {
    files: Vec<File>,
    /// The files by name, as programs see them.
    names: BTreeMap<String, usize>,
    /// The same on the disk.
    kept_names: BTreeMap<String, usize>,
    /// What has happened to names and is not certain yet.
    renamed: Vec<(String, Option<usize>)>,
    /// The folder was made, and nobody has synced the one that it is in.
    folder_may_vanish: bool,
    /// What was to be written when a sync began, by thread.
    syncs: HashMap<u32, Sync>,
}

#[derive(Default)]
struct File {
    cache: Vec<u8>,
    disk: Vec<u8>,
    /// The numbers of pages that the disk lacks.
    dirty: BTreeSet<usize>,
    /// How often each page was written, and how often it had been when the disk got it: of two syncs the
    /// one that began first may end last.
    written: HashMap<usize, u64>,
    kept: HashMap<usize, u64>,
    /// The shortest that it was cut to since its length was last certain.
    cut: Option<usize>,
}

/// What a sync makes certain, once it has succeeded.
struct Sync {
    /// With how often each was written.
    pages: BTreeMap<usize, (u64, Vec<u8>)>,
    cut: Option<usize>,
    length: usize,
}

/// How much of what is not certain survives.
#[derive(Debug, Clone, Copy)]
pub enum Survival {
    Nothing,
    Everything,
    /// Each piece with this chance of hundred.
    Sectors(u8),
    Pages(u8),
}

impl File {
    fn page(&self, number: usize) -> &[u8] {
        let end = self.cache.len().min((number + 1) * PAGE);
        self.cache.get(number * PAGE..end).unwrap_or_default()
    }

    fn write(&mut self, at: usize, data: &[u8]) {
        if self.cache.len() < at + data.len() {
            self.cache.resize(at + data.len(), 0);
        }
        self.cache[at..at + data.len()].copy_from_slice(data);
        for number in at / PAGE..=(at + data.len() - 1) / PAGE {
            self.dirty.insert(number);
            *self.written.entry(number).or_default() += 1;
        }
    }

    fn times_written(&self, number: usize) -> u64 {
        self.written.get(&number).copied().unwrap_or(0)
    }

    fn truncate(&mut self, length: usize) {
        if length < self.cache.len() {
            self.cut = Some(self.cut.map_or(length, |cut| cut.min(length)));
            drop(self.dirty.split_off(&length.div_ceil(PAGE)));
        }
        self.cache.resize(length, 0);
    }

    fn begin_sync(&self) -> Sync {
        let page = |number: &usize| (*number, (self.times_written(*number), self.page(*number).to_vec()));
        Sync { pages: self.dirty.iter().map(page).collect(), cut: self.cut, length: self.cache.len() }
    }

    fn end_sync(&mut self, sync: Sync) {
        if self.cut == sync.cut {
            self.cut_disk();
        }
        self.disk.resize(sync.length.max(self.disk.len()), 0);
        for (number, (written, content)) in sync.pages {
            if written > self.kept.get(&number).copied().unwrap_or(0) {
                put(&mut self.disk, number * PAGE, &content);
                self.kept.insert(number, written);
            }
            if self.page(number) == content {
                self.dirty.remove(&number);
            }
        }
    }

    /// What was cut off goes before anything is written in its place.
    fn cut_disk(&mut self) {
        if let Some(cut) = self.cut.take() {
            self.disk.truncate(cut);
        }
    }

    /// The system writes a page by itself.
    fn write_back(&mut self, number: usize) {
        self.cut_disk();
        let content = self.page(number).to_vec();
        put(&mut self.disk, number * PAGE, &content);
        self.dirty.remove(&number);
        self.kept.insert(number, self.times_written(number));
    }

    /// The system has tried to write, told of its failure, and takes it for done.
    fn fail_sync(&mut self, random: &mut fastrand::Rng) {
        for number in self.dirty.clone() {
            if random.bool() {
                self.write_back(number);
            }
        }
        self.dirty.clear();
    }

    fn after_power_loss(&self, survival: Survival, random: &mut fastrand::Rng) -> Vec<u8> {
        let mut found = self.disk.clone();
        let chance = match survival {
            Survival::Nothing => return found,
            Survival::Everything => return self.cache_over(found),
            Survival::Sectors(chance) | Survival::Pages(chance) => chance,
        };
        if let Some(cut) = self.cut.filter(|_| random.bool()) {
            found.truncate(cut);
        }
        if random.bool() {
            found.resize(self.cache.len().max(found.len()), 0);
        }
        for number in &self.dirty {
            let step = if matches!(survival, Survival::Pages(_)) { PAGE } else { SECTOR };
            for (piece, content) in self.page(*number).chunks(step).enumerate() {
                if random.u8(..100) < chance {
                    put(&mut found, number * PAGE + piece * step, content);
                }
            }
        }
        found
    }

    /// All that was to be written is; what a failed sync has lost is lost.
    fn cache_over(&self, mut found: Vec<u8>) -> Vec<u8> {
        if let Some(cut) = self.cut {
            found.truncate(cut);
        }
        found.resize(self.cache.len().max(found.len()), 0);
        for number in &self.dirty {
            put(&mut found, number * PAGE, self.page(*number));
        }
        found
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, content: &[u8]) {
    if bytes.len() < at + content.len() {
        bytes.resize(at + content.len(), 0);
    }
    bytes[at..at + content.len()].copy_from_slice(content);
}

impl Disk {
    /// Does what a program did. A sync that failed loses what it was to write.
    pub fn apply(&mut self, step: &Step, random: &mut fastrand::Rng) {
        match step {
            Step::MakeFolder => self.folder_may_vanish = true,
            Step::SyncFolderAbove => self.folder_may_vanish = false,
            Step::Open { file } => {
                self.file(file);
            }
            Step::Write { file, at, data } => {
                self.file(file).write(*at, data);
                self.write_back(file, random);
            }
            Step::Truncate { file, length } => self.file(file).truncate(*length),
            Step::Remove { file } => {
                self.names.remove(file);
                self.renamed.push((file.clone(), None));
            }
            Step::SyncBegins { file, thread } => {
                let sync = self.file(file).begin_sync();
                self.syncs.insert(*thread, sync);
            }
            Step::SyncEnds { file, thread, done } => {
                let sync = self.syncs.remove(thread);
                match sync {
                    Some(sync) if *done => self.file(file).end_sync(sync),
                    _ => self.file(file).fail_sync(random),
                }
            }
            Step::SyncFolder => {
                self.renamed.clear();
                self.kept_names = self.names.clone();
            }
            Step::Sent { .. } => {}
        }
    }

    /// The file of this name, made if need be.
    fn file(&mut self, name: &str) -> &mut File {
        let number = match self.names.get(name) {
            Some(number) => *number,
            None => {
                let number = self.files.len();
                self.files.push(File::default());
                self.names.insert(name.to_owned(), number);
                self.renamed.push((name.to_owned(), Some(number)));
                number
            }
        };
        &mut self.files[number]
    }

    /// Now and then the system writes by itself.
    fn write_back(&mut self, name: &str, random: &mut fastrand::Rng) {
        if random.u8(..16) > 0 {
            return;
        }
        let file = self.file(name);
        let Some(number) = random.choice(file.dirty.iter().copied()) else { return };
        file.write_back(number);
    }

    /// What programs see of a file.
    pub fn content(&self, name: &str) -> Option<&[u8]> {
        self.names.get(name).map(|number| self.files[*number].cache.as_slice())
    }

    /// Takes over what a process that was killed has done unseen.
    pub fn overtake(&mut self, name: &str, content: &[u8]) {
        let file = self.file(name);
        file.truncate(content.len());
        for (number, page) in content.chunks(PAGE).enumerate() {
            if file.page(number) != page {
                file.write(number * PAGE, page);
            }
        }
    }

    /// The files that are found after a power loss, now.
    pub fn after_power_loss(
        &self,
        survival: Survival,
        random: &mut fastrand::Rng,
    ) -> BTreeMap<String, Vec<u8>> {
        if self.folder_may_vanish && (matches!(survival, Survival::Nothing) || random.bool()) {
            return BTreeMap::new();
        }
        let mut names = self.kept_names.clone();
        let happened = match survival {
            Survival::Nothing => 0,
            Survival::Everything => self.renamed.len(),
            Survival::Sectors(_) | Survival::Pages(_) => random.usize(..=self.renamed.len()),
        };
        for (name, number) in &self.renamed[..happened] {
            match number {
                Some(number) => names.insert(name.clone(), *number),
                None => names.remove(name),
            };
        }
        let found =
            |number: usize, random: &mut fastrand::Rng| self.files[number].after_power_loss(survival, random);
        names.into_iter().map(|(name, number)| (name, found(number, random))).collect()
    }
}
