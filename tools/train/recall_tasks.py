"""The two recall tasks of the Mamba paper (section 4.1): induction heads and selective copying.

A task draws batches of any length: ids (B, L) and targets (B, Q), the answers expected at the
last Q positions. Everything is drawn on the device of the generator, so that a batch costs no
copy; the same generator state gives the same batch on the same device.
"""
import dataclasses

import torch


def _integers(high, shape, generator):
    return torch.randint(high, shape, generator=generator, device=generator.device)


@dataclasses.dataclass(frozen=True)
class Induction:
    """Ordinary tokens; somewhere the special token and after it the answer; the special token
    again at the end asks for the answer."""

    ordinary: int = 15

    answers = 1

    @property
    def special_id(self):
        return self.ordinary

    @property
    def vocab_size(self):
        return self.ordinary + 1

    @property
    def chance(self):
        return 1 / self.ordinary

    def batch(self, count, length, generator, dtype=torch.int64):
        ids = _integers(self.ordinary, (count, length), generator).to(dtype)
        place = _integers(length - 2, (count, 1), generator)
        ids.scatter_(1, place, self.special_id)
        ids[:, -1] = self.special_id
        return ids, ids.gather(1, place + 1).long()

    def landmarks(self, ids):
        """The tokens that the answer depends on (with the one after each)."""
        return ids == self.special_id


@dataclasses.dataclass(frozen=True)
class Copying:
    """Data tokens at random places among noise, then as many markers: at the i-th marker the
    i-th data token is expected. The length counts the markers."""

    symbols: int = 16
    answers: int = 16

    @property
    def noise_id(self):
        return self.symbols

    @property
    def marker_id(self):
        return self.symbols + 1

    @property
    def vocab_size(self):
        return self.symbols + 2

    @property
    def chance(self):
        return 1 / self.symbols

    def batch(self, count, length, generator, dtype=torch.int64):
        body = length - self.answers
        keys = torch.rand(count, body, generator=generator, device=generator.device)
        places = keys.topk(self.answers, dim=1).indices.sort(dim=1).values
        data = _integers(self.symbols, (count, self.answers), generator)
        ids = torch.full((count, length), self.noise_id, dtype=dtype, device=generator.device)
        ids[:, body:] = self.marker_id
        return ids.scatter_(1, places, data.to(dtype)), data

    def landmarks(self, ids):
        """The tokens that the answer depends on."""
        return ids != self.noise_id


TASKS = {"induction": Induction(), "copying": Copying()}
