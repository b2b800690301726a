"""The gap-length grid as a user of PyTorch would train it: modules and optimizer of torch.nn, one run after another.

    python -m benchmarks.torch_loop --json GRID [--threads N]    # started by benchmarks.sweeps, which makes GRID

Eager, on the GPU where PyTorch sees one, with PyTorch's own number of threads unless told otherwise. Nothing is read
back between two evaluations. jax is imported for `--check` alone, never in the process that is timed.

Weights start as PyTorch starts them; an LSTM's forget bias as our `lstm` has it, and spread as in `lstm@chrono=true`.
`nn.RNN` and `nn.LSTM` have a second bias that adds to the first: more parameters, but no other function.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.equal_work import (
    NUM_FACTS,
    NUM_FILLERS,
    NUM_TOKENS,
    Grid,
    Observed,
    Weights,
    check_equal_work,
    is_solved,
    machine,
)
from benchmarks.options import options

CELLS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Model(nn.Module):
    """Embedding, recurrent layer, readout at the last step: `[T, B] -> [B, C]`."""

    def __init__(self, kind: str, embedding_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(NUM_TOKENS, embedding_dim)
        self.rnn = CELLS[kind](embedding_dim, hidden_dim)
        self.readout = nn.Linear(hidden_dim, NUM_FACTS)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits `[B, C]`."""
        outputs, _ = self.rnn(self.embedding(inputs))
        return self.readout(outputs[-1])


def make_model(grid: Grid, cell: str, gap: int) -> Model:
    """A fresh model; an LSTM's forget biases start at 1, or where chrono initialisation draws them."""
    kind, _, settings = cell.partition("@")
    hidden_dim = grid.hidden_dims[cell]
    model = Model(kind, grid.embedding_dim, hidden_dim)
    if kind == "lstm":
        forget = torch.ones(hidden_dim)
        if settings:
            forget = torch.empty(hidden_dim).uniform_(1, max(gap - 1, 1)).log()
        with torch.no_grad():
            model.rnn.bias_hh_l0.zero_()
            model.rnn.bias_ih_l0.zero_()
            model.rnn.bias_ih_l0[hidden_dim : 2 * hidden_dim] = forget
            if settings:
                model.rnn.bias_ih_l0[:hidden_dim] = -forget
    return model.to(DEVICE)


def sample(gap: int, num_sequences: int) -> tuple[Tensor, Tensor]:
    """Inputs `[T, B]`: fact, distractors, query; and targets `[B]`."""
    facts = torch.randint(0, NUM_FACTS, (1, num_sequences), device=DEVICE)
    fillers = torch.randint(NUM_FACTS, NUM_FACTS + NUM_FILLERS, (gap, num_sequences), device=DEVICE)
    query = torch.full((1, num_sequences), NUM_TOKENS - 1, device=DEVICE)
    return torch.cat([facts, fillers, query]), facts[0]


def train(grid: Grid) -> dict[str, Any]:
    """Train the grid; what came of it. Nothing is compiled."""
    criterion = nn.CrossEntropyLoss()
    started, num_updates, num_solved = time.perf_counter(), 0, 0
    for cell, gap in itertools.product(grid.hidden_dims, grid.gaps):
        torch.manual_seed(2**32)
        held_out, answers = sample(gap, grid.eval_size)
        for learning_rate, seed in itertools.product(grid.learning_rates, grid.seeds):
            torch.manual_seed(seed)
            model = make_model(grid, cell, gap)
            optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
            accuracies = []
            for update in range(1, grid.max_steps + 1):
                inputs, targets = sample(gap, grid.batch_size)
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), grid.clip_norm)
                optimizer.step()
                num_updates += 1
                if update % grid.chunk_steps == 0 or update == grid.max_steps:
                    with torch.no_grad():
                        logits = model(held_out)
                        criterion(logits, answers).item()
                        accuracies.append((logits.argmax(dim=-1) == answers).float().mean().item())
            num_solved += is_solved(accuracies)
    return {
        "num_updates": num_updates,
        "num_solved": num_solved,
        "training_seconds": time.perf_counter() - started,
        "machine": machine(
            f"torch {torch.__version__}, {torch.get_num_threads()} threads",
            torch.cuda.get_device_name() if DEVICE.type == "cuda" else "cpu",
        ),
    }


def observe(grid: Grid, cell: str, gap: int, inputs: Any, targets: Any) -> Observed:
    """Weights, loss and gradient of a fresh model, in our form."""
    from lstm_jax.cells import make_cell
    from lstm_jax.cells.convert import from_torch

    ours: Any = make_cell(cell, grid.hidden_dims[cell], gap)
    torch.manual_seed(0)
    model = make_model(grid, cell, gap)
    loss = nn.CrossEntropyLoss()(
        model(torch.tensor(inputs, device=DEVICE).long()), torch.tensor(targets, device=DEVICE).long()
    )
    loss.backward()
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in model.named_parameters()}
    gradients = {
        name: tensor.grad.cpu().numpy() for name, tensor in model.named_parameters() if tensor.grad is not None
    }
    # Two biases that add up have one gradient, which from_torch would count twice.
    shared = 2 * ours.hidden_dim if cell.startswith("gru") else None
    gradients["rnn.bias_hh_l0"][:shared] = 0

    def in_our_form(arrays: dict[str, Any]) -> Weights:
        of_rnn = {name.removeprefix("rnn."): array for name, array in arrays.items() if name.startswith("rnn.")}
        params = from_torch(ours, of_rnn)
        return Weights(arrays["embedding.weight"], params, arrays["readout.weight"].T, arrays["readout.bias"])

    num_params = sum(array.size for array in weights.values())
    return Observed(in_our_form(weights), float(loss.item()), in_our_form(gradients), num_params)


@dataclasses.dataclass(frozen=True)
class TorchLoop:
    """Train the gap-length grid in a loop, with PyTorch."""

    json: str
    """The grid."""
    check: bool = False
    """Check that the work is ours, and train nothing."""
    threads: int | None = None
    """Threads of PyTorch. None: as many as it chooses."""


def main() -> None:
    """Check, or train and print one line of JSON."""
    arguments = options(TorchLoop, "torch_loop")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    grid = Grid(**json.loads(arguments.json))
    if arguments.check:
        check_equal_work("PyTorch", grid, lambda gap, num: [each.cpu().numpy() for each in sample(gap, num)], observe)
        print(json.dumps({}))
    else:
        print(json.dumps(train(grid)))


if __name__ == "__main__":
    main()
