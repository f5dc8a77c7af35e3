#[responders]
impl<S: Store> Cellar<S> {
    #[responder]
    async fn eat_cheez(&self, cheez: EatCheez) -> Result<CheezRating, CheezError> {
        let rating = self.store.rating_of(&cheez).ok_or(CheezError::CellarLocked)?;
        Ok(CheezRating { rating })
    }

    #[cfg(feature = "ping")]
    #[responder]
    async fn ping(&self, _: Ping, peer: &Peer) -> Result<(), Failure<Never>> {
        self.seen(peer);
        Ok(())
    }

    fn seen(&self, peer: &Peer) {
        self.store.saw(peer.address());
    }
}
