//! Names: the only module that knows the form of a handoff's file name (spec 3.2 to 3.5).
//!
//! Every function here depends only on time, written name and suffix. A [`StampedName`] can only be made by stamping or by
//! parsing. Every such name fits a directory entry, and `parse(format(x)) == x`; so no other module ever cuts, joins or
//! compares parts of file names.

mod archives;
mod classify;
mod format;
mod scratch;
mod slug;
mod stamp;
mod stamped;
#[cfg(test)]
mod tests;

pub use archives::Archives;
pub use classify::{
    NameClass, PEEK, PENDING, PRIVATE, STATUS, adopted, classify, is_adoptable, is_hidden, is_stray,
};
pub use scratch::is_rsync_temporary;
pub use slug::Slug;
pub use stamp::Stamp;
pub use stamped::{StampedName, is_done_form};
