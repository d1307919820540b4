"""What the contexts of made-up schemas have in common."""


class Seatless:
    """The part of `schema.subscribing.StreamContext` of streams that never take a seat."""

    __slots__ = ()

    def rendered(self, _: BaseException | None) -> bool:
        """Everything is sent, errors too."""
        return True

    def without_viewer(self) -> object:
        """Itself: there is no viewer here."""
        return self

    def greeting(self) -> None:
        """None: their sources say what comes first."""

    def catch_up(self, *_: object) -> None:
        """Nothing."""

    @property
    def at_edge(self) -> bool:
        """Sources that end here are over."""
        return False

    def sit(self, *_: object) -> None:
        """Nothing sits."""

    def rise(self) -> None:
        """Nothing sits."""

    def close(self) -> None:
        """Nothing is kept."""
