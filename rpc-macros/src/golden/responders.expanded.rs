impl<S: Store> Cellar<S> {
    #[allow(
        clippy::unused_async,
        reason = "a responder is async, even one that never waits",
    )]
    async fn eat_cheez(&self, cheez: EatCheez) -> Result<CheezRating, CheezError> {
        let rating = self.store.rating_of(&cheez).ok_or(CheezError::CellarLocked)?;
        Ok(CheezRating { rating })
    }
    #[cfg(feature = "ping")]
    #[allow(
        clippy::unused_async,
        reason = "a responder is async, even one that never waits",
    )]
    async fn ping(&self, _: Ping, peer: &Peer) -> Result<(), Failure<Never>> {
        self.seen(peer);
        Ok(())
    }
    fn seen(&self, peer: &Peer) {
        self.store.saw(peer.address());
    }
}
#[automatically_derived]
impl<S: Store> ::amp_proto::Responder<EatCheez> for Cellar<S> {
    async fn respond(
        &self,
        command: EatCheez,
        _: &::amp_proto::Peer,
    ) -> ::core::result::Result<
        <EatCheez as ::amp_proto::Command>::Response,
        ::amp_proto::Failure<<EatCheez as ::amp_proto::Command>::Error>,
    > {
        <Result<
            CheezRating,
            CheezError,
        > as ::amp_proto::__private::Answer<
            <EatCheez as ::amp_proto::Command>::Response,
            <EatCheez as ::amp_proto::Command>::Error,
        >>::into_outcome(Self::eat_cheez(self, command).await)
    }
}
#[cfg(feature = "ping")]
#[automatically_derived]
impl<S: Store> ::amp_proto::Responder<Ping> for Cellar<S> {
    async fn respond(
        &self,
        command: Ping,
        peer: &::amp_proto::Peer,
    ) -> ::core::result::Result<
        <Ping as ::amp_proto::Command>::Response,
        ::amp_proto::Failure<<Ping as ::amp_proto::Command>::Error>,
    > {
        <Result<
            (),
            Failure<Never>,
        > as ::amp_proto::__private::Answer<
            <Ping as ::amp_proto::Command>::Response,
            <Ping as ::amp_proto::Command>::Error,
        >>::into_outcome(Self::ping(self, command, peer).await)
    }
}
#[automatically_derived]
impl<S: Store> ::amp_proto::ResponderTable for Cellar<S> {
    const TABLE: &'static [::amp_proto::Entry<Self>] = &[
        ::amp_proto::Entry {
            schema: <EatCheez as ::amp_proto::Command>::SCHEMA,
            respond: ::amp_proto::__private::respond::<Self, EatCheez>,
        },
        #[cfg(feature = "ping")]
        ::amp_proto::Entry {
            schema: <Ping as ::amp_proto::Command>::SCHEMA,
            respond: ::amp_proto::__private::respond::<Self, Ping>,
        },
    ];
}
