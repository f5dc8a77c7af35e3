//! What an application runs beside the mesh.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::lifetime::Lifetime;

type Service<C> = Box<dyn FnOnce(C) -> BoxFuture<'static, ()> + Send>;

/// Services that wait for the controller `C` of their process.
pub struct Services<C>(Vec<Service<C>>);

impl<C: Clone> Services<C> {
    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a service.
    pub fn add<F>(&mut self, service: impl FnOnce(C) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.push(Box::new(move |controller| Box::pin(service(controller))));
    }

    /// Starts them all. Each is dropped at its next await when the process stops.
    pub fn start(self, lifetime: &Lifetime, controller: &C) {
        for service in self.0 {
            lifetime.run_until_stopping(service(controller.clone()));
        }
    }
}

impl<C: Clone> Default for Services<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for Services<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Services").field(&self.0.len()).finish()
    }
}
