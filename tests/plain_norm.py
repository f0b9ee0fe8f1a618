"""The norm in plain Python: fractions, rounded where the unit rounds."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import Kind, updates_in_flight
from counterflow.golden.parts.generator import step
from tests.norm_streams import GENERATOR, Numbers

Value = Fraction | int


def half_up(value: Value, frac: int) -> Fraction:
    """The nearest number of `frac` fraction bits, the upper one of two."""
    return Fraction(math.floor(value * 2**frac + Fraction(1, 2)), 2**frac)


def to_even(value: Value, frac: int) -> Fraction:
    return Fraction(round(Fraction(value) * 2**frac), 2**frac)


class Plain:
    """A norm as its docstrings have it, a channel and a pixel at a time, in real values.

    Statistics are in units of 1, not of last places.  ``clipped`` counts saturations.
    """

    def __init__(self, numbers: Numbers, description: Description, delay: int) -> None:
        self.x, self.y, self.dy, self.dx, self.weight, self.velocity = map(Format.parse, numbers)
        unit = next(one for one in description.graph.units if one.kind == "norm")
        self.wanted = unit.inputs[0].wanted
        height, width, self.channels = unit.inputs[0].shape
        self.pixels, self.recipe, self.delay = height * width, description.recipe, delay
        self.stochastic = description.rounding.update.value == "stochastic"
        self.horizon = updates_in_flight(self.recipe, delay + 1) * self.recipe.horizon
        places = 256 * 4**self.x.frac
        one = Fraction(min(places, self.largest_variance()), places)
        self.channel = [
            dict.fromkeys(("beta", "u", "gamma", "v", "mean", "c", "shift"), Fraction(0))
            | {"variance": one, "gamma": Fraction(1)}
            for _ in range(self.channels)
        ]
        self.history = [self.copy(), self.copy()]  # what slot j sees is history[j]
        self.learnt = {"beta": "u", "gamma": "v"} if unit.gamma else {"beta": "u"}
        self.waiting = {name: [Fraction(0)] * self.channels for name in self.learnt}
        self.generator, self.clipped = GENERATOR, 0
        self.hats: dict[int, list[list[tuple[Fraction, Fraction, Fraction]]]] = {}

    def largest_variance(self) -> int:
        magnitude_bits = self.x.bits - self.x.signed
        return 2 ** min(31, 2 * magnitude_bits + 8) - 1

    def copy(self) -> list[dict[str, Fraction]]:
        return [dict(one) for one in self.channel]

    def limited(self, value: Value, number: Format, counts: bool = False) -> Fraction:
        low, high = Fraction(number.min, 2**number.frac), Fraction(number.max, 2**number.frac)
        found = min(max(Fraction(value), low), high)
        self.clipped += counts and found != value
        return found

    def share(self, total: Value, frac: int) -> Fraction:
        """`total` over the pixels: exact where these are a power of two, else by eleven bits."""
        exponent = (self.pixels - 1).bit_length()
        by = Fraction(round(2 ** (exponent + 10) / self.pixels), 2 ** (exponent + 10))
        return half_up(total * by, frac)

    def root(self, variance: Fraction) -> Fraction:
        """One over the deviation, by its table; a squared last place is added to the variance."""
        places = int(variance * 4**self.x.frac * 256) + 256
        h = (places.bit_length() - 1) // 2
        sixteenth = places * 16 // 4**h - 16
        entry = round(256 / math.sqrt(1 + (sixteenth + 0.5) / 16))
        return Fraction(entry, 256) / Fraction(2) ** (h - 4) * 2**self.x.frac

    def operand(self, value: Fraction, velocity: Fraction, frac: int, learns: bool) -> Fraction:
        """What a token sees of a parameter."""
        if learns and self.recipe.predicts:
            value = value - self.horizon * velocity
        bits = self.weight.bits - self.weight.frac + frac
        return self.limited(to_even(value, frac), Format(True, bits, frac))

    def slot(self, j: int, x: list[list[int]], dy: list[list[int]], kinds: list[Kind]) -> Any:
        """(y of token j, dx of token j - delay or None), [pixels][channels]."""
        seen, learns = self.history[j], kinds[j].learns
        ys, hats, sums = [], [], []
        for channel in range(self.channels):
            now = seen[channel]
            centre, root = half_up(now["mean"], self.x.frac + 2), self.root(now["variance"])
            beta = self.operand(now["beta"], now["u"], self.y.frac, learns)
            gamma = self.operand(now["gamma"], now["v"], 8, learns)
            column, hat = [], []
            d = [Fraction(one[channel], 2**self.x.frac) - centre for one in x]
            for one in d:
                exact = half_up(one * root, self.y.frac)
                xhat = self.limited(exact, self.y)
                whole = half_up(gamma * xhat, self.y.frac) + beta
                y = self.limited(whole, self.y)
                self.clipped += xhat != exact or y != whole
                column.append(y)
                hat.append((xhat if "gamma" in self.learnt else y - beta, root, gamma))
            ys.append(column)
            hats.append(hat)
            mean = centre + self.share(sum(d), self.x.frac + 8)
            squares = self.share(sum(one * one for one in d), 2 * self.x.frac + 8)
            sums.append((mean, squares))
        self.hats[j] = hats
        dx = self.back(j, dy, kinds)
        if learns:
            for now, (mean, squares) in zip(self.channel, sums, strict=True):
                number = Format(True, self.x.bits + 8 + (not self.x.signed), self.x.frac + 8)
                moved = half_up((mean - now["mean"]) / 128, self.x.frac + 8)
                now["mean"] = self.limited(now["mean"] + moved, number)
                frac = 2 * self.x.frac + 8
                moved = now["variance"] + half_up((squares - now["variance"]) / 128, frac)
                most = Fraction(self.largest_variance(), 2**frac)
                now["variance"] = min(max(moved, Fraction(0)), most)
        self.history.append(self.copy())
        return ys, dx

    def back(self, j: int, dy: list[list[int]], kinds: list[Kind]) -> Any:
        token = j - self.delay
        if token < 0:
            return None
        hats, kind = self.hats.pop(token), kinds[token]
        if not kind.learns:
            return [[Fraction(0)] * self.pixels for _ in range(self.channels)]
        found, errors = [], []
        correlations = []
        for channel, now in enumerate(self.channel):
            seen, hat = self.history[j][channel], hats[channel]
            error = [Fraction(one[channel], 2**self.dy.frac) for one in dy]
            frac = (self.dx if self.wanted else self.dy).frac + 4
            held = half_up(seen["shift"] / 128, frac)
            z = [
                half_up(gamma * one, self.dy.frac + 2)
                - half_up(seen["c"] * xhat / 128, self.dy.frac + 2)
                for one, (xhat, _, gamma) in zip(error, hat, strict=True)
            ]
            wide = [half_up(a * root, frac) - held for a, (_, root, _) in zip(z, hat, strict=True)]
            errors.append(sum(error))
            correlations.append(
                sum(one * xhat for one, (xhat, _, _) in zip(error, hat, strict=True))
            )
            if not self.wanted:
                continue
            found.append([self.limited(to_even(one, self.dx.frac), self.dx, True) for one in wide])
            products = sum(a * xhat for a, (xhat, _, _) in zip(z, hat, strict=True))
            now["c"] = self.limited(now["c"] + self.share(products, 16), Format(True, 18, 16))
            moved = now["shift"] + self.share(sum(wide), 18)
            now["shift"] = self.limited(moved, Format(True, 20, 18))
        for own, gradient in zip(self.waiting.values(), (errors, correlations), strict=False):
            own[:] = [one + more for one, more in zip(own, gradient, strict=True)]
        if kind is Kind.TRAIN:
            self.learn()
        return found if self.wanted else [[Fraction(0)] * self.pixels] * self.channels

    def learn(self) -> None:
        """The update of docs/numbers.md; velocity and weight take the ends of one draw."""
        for channel in range(self.channels):
            self.generator = step(self.generator) if self.stochastic else self.generator
            hits = [self.moved(channel, name) for name in self.learnt]
            self.clipped += any(hits)

    def moved(self, channel: int, name: str) -> bool:
        """Move beta or gamma by what waits for it; whether anything was clipped."""
        recipe, frac, now = self.recipe, self.weight.frac, self.channel[channel]
        gained = self.y.frac if name == "gamma" else 0
        exact = max(frac + recipe.momentum_shift, self.dy.frac + gained + recipe.rate_shift)
        step_of = self.learnt[name]
        g = Fraction(recipe.learning_rate) * self.waiting[name][channel]
        old, m = now[step_of], Fraction(recipe.momentum)
        drop = exact - frac

        def rounded(value: Fraction, bits: int, draw: int) -> Fraction:
            if not self.stochastic:
                return to_even(value, frac)
            chance = Fraction(draw, 2**bits)
            return Fraction(math.floor(value * 2**frac + chance), 2**frac)

        low = self.generator % 2**drop
        u = rounded(m * old + g, drop, low)
        now[step_of] = self.limited(u, self.velocity)
        move, clips = now[step_of], now[step_of] != u
        if recipe.compensates:
            c = Fraction(min(round(float(m ** (self.horizon + 1)) * 256), 255), 256)
            heavy = g * 2**recipe.momentum_shift
            high = self.generator >> 32 - drop - 8
            move = rounded(heavy + c * (old - heavy), drop + 8, high)
        value = now[name] - move
        now[name] = self.limited(value, self.weight)
        self.waiting[name][channel] = Fraction(0)
        return clips or now[name] != value
