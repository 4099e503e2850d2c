//! Layers that follow each other, each one event: what machines have whose layers are timed by a closed form.

use sim_core::{Activity, Cx, Cycle};

use super::report::LayerResult;

/// The layers of a run, in order, and how many are done.
pub struct LayerSequence {
    layers: Vec<LayerResult>,
    done: usize,
}

sim_core::saved!(LayerSequence { state: done; rebuilt: layers });

impl LayerSequence {
    /// Layers whose ends do not decrease. The component that has them holds one unit of foreground work.
    pub fn new(layers: Vec<LayerResult>) -> Self {
        Self { layers, done: 0 }
    }

    /// Goes on to the layer that is under way; ends the work behind the last.
    pub fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        while self.layers.get(self.done).is_some_and(|layer| layer.end_cycle <= cx.now().0) {
            self.done += 1;
        }
        match self.layers.get(self.done) {
            Some(layer) => Activity::until(Cycle(layer.end_cycle)),
            None => {
                if cx.work_held() > 0 {
                    cx.end_work(1);
                }
                Activity::DONE
            }
        }
    }

    /// All layers.
    pub fn all(&self) -> &[LayerResult] {
        &self.layers
    }

    /// Those that are done.
    pub fn done(&self) -> &[LayerResult] {
        &self.layers[..self.done]
    }
}
