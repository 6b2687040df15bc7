"""Subject adapters: a gain for each virtual channel and a low-rank shift of the features, by subject.

Shapes: B batch, K virtual channels, R resonators, F = K R features.

Index 0 is the population, the starting point of every new subject; all adapters start at zero, so they start as the
population. In training a subject is taken for the population with probability `dropout`, so that the population is
trained on all of them.

With alignment, the mean features of a person are taken out as well, known or not. Those of training subjects are set
in closed form (`offset`); those of a new person are the running mean over the trials so far, without labels, shrunk
towards the population by `PRIOR` trials' worth. It is the recentring of Zanini et al. 2018 (IEEE TBME 65(5)), on log
powers, where the mean is a plain one; and causal, so that it works from the first trial on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PRIOR = 5.0  # trials that the population's mean counts as, for a new person


class SubjectAdapter(nn.Module):
    """Shift of log-power features (B, F) by subject; zero at the start.

    Parameters
    ----------
    subjects : training subjects, indices 1 .. subjects. n_filters, n_resonators : K, R. rank : of the shift.
    dropout : probability that a training subject is taken for the population. aligned : whether `offset` is set.
    """

    offset: Tensor

    def __init__(
        self, subjects: int, n_filters: int, n_resonators: int, *, rank: int, dropout: float, aligned: bool = False
    ) -> None:
        super().__init__()
        self.dropout, self.n_resonators = dropout, n_resonators
        self.gain = nn.Embedding(subjects + 1, n_filters)
        self.code = nn.Embedding(subjects + 1, rank)
        self.shift = nn.Linear(rank, n_filters * n_resonators, bias=False)
        self.register_buffer("offset", torch.zeros(subjects + 1, n_filters * n_resonators), persistent=aligned)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.code.weight)

    def forward(self, subject: Tensor | None, batch: int) -> Tensor:
        """Return the shift (B, F), or (1, F) of the population where no subject is given."""
        if subject is None:
            shared = torch.zeros(1, dtype=torch.long, device=self.gain.weight.device)
            return self._of(shared) + self.offset[:1]
        offset = self.offset[subject]  # dropout hides who somebody is, not what their mean is
        if self.training and self.dropout > 0:
            subject = torch.where(torch.rand(batch, device=subject.device) < self.dropout, 0, subject)
        return self._of(subject) + offset

    def _of(self, subject: Tensor) -> Tensor:
        gain = self.gain(subject).repeat_interleave(self.n_resonators, 1)
        shift: Tensor = gain + self.shift(self.code(subject))
        return shift
