//! Content that the drive has, made into content that is to be sent once more: of a file that is to have another's identity.
//!
//! It becomes a staging again: the one that somebody still has open, or a new one, with an empty layer over the revision that
//! the drive has, into which [`super::take_in`] then takes what the cache holds.

use std::sync::Arc;

use super::Result;
use super::journal::Seq;
use super::layers::{Layers, Piece};
use super::staging::{Inner, Sealed, Staging};
use super::stagings::{Stagings, remove_file};
use super::table::Safety;
use crate::remote::Source;
use crate::tree::Ino;

/// Content of a file that is on the local disk whole.
#[derive(Debug)]
pub(super) struct Recalled {
    pub(super) ino: Ino,
    pub(super) layers: Arc<Layers>,
    /// What shines through beneath.
    pub(super) base: Option<Source>,
    /// What of it survives the loss of power.
    pub(super) safety: Safety,
    /// The layer that was put over it for this.
    added: Option<u64>,
}

impl Stagings {
    /// The content of a file as it was last sealed, or as the drive has it; `None` if it is not on the local disk whole, or if
    /// somebody is about to change it who has sealed nothing yet. To be called while seals and the base are held.
    pub(super) fn recall(&self, staging: &Staging) -> Result<Option<Recalled>> {
        let mut inner = staging.inner.lock();
        let stored = inner.stored.as_ref().map(|stored| (Arc::clone(&stored.layers), stored.safety));
        if inner.discarded || stored.is_none() && (inner.pile.dirty || !inner.pile.now.stack.is_empty()) {
            return Ok(None);
        }
        let layers = stored.as_ref().map_or_else(|| Arc::new(inner.pile.now.clone()), |(layers, _)| Arc::clone(layers));
        if !is_here(&inner, &layers)? {
            return Ok(None);
        }
        let base = inner.base.as_ref().map(|base| base.source().clone());
        if let Some((layers, safety)) = stored {
            return Ok(Some(Recalled { ino: staging.ino(), layers, base, safety, added: None }));
        }
        self.layer_for(staging.ino(), &mut inner, 0)?;
        let layers = Arc::new(inner.pile.now.clone());
        inner.pile.sealed = Some(Arc::clone(&layers));
        let added = layers.stack.last().map(|layer| layer.number);
        drop(inner);
        // What it holds is on the drive. That it is there must survive the loss of power, or it would be taken for damaged then.
        self.sync_names()?;
        Ok(Some(Recalled { ino: staging.ino(), layers, base, safety: Safety::Synced, added }))
    }

    /// Notes that recalled content is to be sent; to be called after the transaction that says so, while the base is still
    /// held. `origin`: what the drive has of the file.
    pub(super) fn send_again(&self, staging: &Arc<Staging>, recalled: Recalled, origin: Option<Source>, seq: Seq) {
        {
            let mut inner = staging.inner.lock();
            inner.stored = Some(Sealed { seq, layers: recalled.layers, safety: recalled.safety });
            inner.on_drive = None;
            inner.origin = origin;
            if !inner.pile.dirty {
                inner.log.clear();
            }
        }
        self.secure(staging);
    }
}

impl Staging {
    /// Takes back what [recalling](Stagings::recall) did: nothing is to be sent.
    pub(super) fn let_be(&self, recalled: &Recalled) -> Result<()> {
        let Some(number) = recalled.added else { return Ok(()) };
        let layer = {
            let mut inner = self.inner.lock();
            inner.pile.sealed = None;
            // Who wrote into it meanwhile keeps it.
            let is_as_it_was = !inner.pile.dirty && inner.pile.now.stack.len() == 1;
            if is_as_it_was { inner.pile.now.stack.pop().filter(|layer| layer.number == number) } else { None }
        };
        layer.map_or(Ok(()), |layer| remove_file(&layer.path))
    }

    /// Notes what the drive has of a file that took over an identity.
    pub(super) fn begin_from(&self, origin: Option<Source>) {
        self.inner.lock().origin = origin;
    }
}

/// Whether all bytes of a content are in its layers or in the cache.
fn is_here(inner: &Inner, layers: &Layers) -> Result<bool> {
    let pieces = layers.locate(0..layers.size).into_iter().flat_map(|piece| inner.pile.taken_in(layers, piece));
    for piece in pieces {
        if let Piece::Base(range) = piece
            && !inner.base.as_ref().map_or(Ok(false), |base| base.is_here(range))?
        {
            return Ok(false);
        }
    }
    Ok(true)
}
