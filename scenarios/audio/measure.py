#!/usr/bin/env python3
"""Checks the 16 voices and measures how different they are. Needs numpy and scipy.

Use: python3 measure.py [folder]    (default: the folder this script is in)

Distance of two voices: hypot(spectrum / 3 dB, pitch / 2 semitones), where
  spectrum  root mean square difference of the long-term average spectra of the frames
            with speech, in 24 mel bands, in dB, level removed;
  pitch     difference of the median pitches, in semitones.
"wide" uses 100..7600 Hz; "phone" uses 150..3700 Hz after 8 kHz G.711 mu-law.
Exit status 1 if a file or a pair breaks a limit.
"""
import glob
import itertools
import os
import sys
import wave

import numpy as np
from scipy import signal

RATE = 16000
DB, SEMITONES = 3.0, 2.0
BANDS = {"wide": (100, 7600), "phone": (150, 3700)}


def load(path):
    with wave.open(path) as w:
        form = (w.getframerate(), w.getnchannels(), w.getsampwidth())
        if form != (RATE, 1, 2):
            sys.exit(f"{path}: not 16 kHz mono 16-bit: {form}")
        return np.frombuffer(w.readframes(w.getnframes()), "<i2") / 32768.0


def mulaw(x):
    """To 8 kHz, through 8-bit mu-law, back to 16 kHz."""
    y = np.clip(signal.resample_poly(x, 1, 2), -1, 1)
    code = np.round(np.sign(y) * np.log1p(255 * np.abs(y)) / np.log(256) * 127) / 127
    return signal.resample_poly(np.sign(code) * np.expm1(np.abs(code) * np.log(256)) / 255, 2, 1)


def speech_frames(x, size):
    f = np.lib.stride_tricks.sliding_window_view(x, size)[::160]
    level = 10 * np.log10((f**2).mean(1) + 1e-12)
    return f[level > level.max() - 35]


def mel_bank(low, high, count, size):
    mel = lambda f: 2595 * np.log10(1 + f / 700)
    e = 700 * (10 ** (np.linspace(mel(low), mel(high), count + 2) / 2595) - 1)
    f = np.arange(size // 2 + 1) * RATE / size
    return np.array([np.clip(np.minimum((f - e[i]) / (e[i + 1] - e[i]), (e[i + 2] - f) / (e[i + 2] - e[i + 1])), 0, None)
                     for i in range(count)])


def spectrum(x, band):
    power = np.abs(np.fft.rfft(speech_frames(x, 512) * np.hanning(512), 1024)) ** 2
    db = 10 * np.log10(power.mean(0) @ mel_bank(*BANDS[band], 24, 1024).T + 1e-12)
    return db - db.mean()


def pitch(x, low=50, high=420):
    """Median pitch in Hz: window-corrected autocorrelation with a small cost per octave of lag."""
    x = signal.sosfilt(signal.butter(4, 900, "low", fs=RATE, output="sos"), x)
    size, window = 800, np.hanning(800)
    auto = lambda f: np.fft.irfft(np.abs(np.fft.rfft(f, 2048)) ** 2)[:size]
    base = auto(window) / auto(window)[0]
    lags = np.arange(RATE // high, RATE // low + 1)
    cost, found = 0.05 * np.log2(lags / lags[0]), []
    for f in speech_frames(x, size):
        r = auto((f - f.mean()) * window)
        r = (r / (r[0] + 1e-12) / base)[lags]
        k = np.argmax(r - cost)
        if r[k] > 0.5 and 0 < k < len(lags) - 1:
            found.append(RATE / lags[k])
    return float(np.median(found))


def silences(x):
    """Silence at the start, at the end, and pauses inside, in ms (10 ms frames below -45 dBFS)."""
    f = np.lib.stride_tricks.sliding_window_view(x, 160)[::80]
    quiet = 10 * np.log10((f**2).mean(1) + 1e-12) < -45
    runs, at = [], 0
    for value, group in itertools.groupby(quiet):
        n = len(list(group))
        if value:
            runs.append((at, n))
        at += n
    ms = lambda n: (n + 1) * 5
    first = ms(runs[0][1]) if runs and runs[0][0] == 0 else 0
    last = ms(runs[-1][1]) if runs and sum(runs[-1]) == at else 0
    return first, last, [ms(n) for s, n in runs if s > 0 and s + n < at and ms(n) >= 100]


def correlation(a, b):
    """Peak of the absolute normalised cross-correlation over all lags."""
    return np.abs(signal.correlate(a, b, method="fft")).max() / np.sqrt((a**2).sum() * (b**2).sum())


def rms(v):
    return float(np.sqrt((v**2).mean()))


def semitones(a, b):
    return abs(12 * np.log2(a / b))


def recognise(names, clips, band, seconds):
    """Which voice is nearest to each window? The voice's own reference leaves the window out."""
    through = mulaw if band == "phone" else (lambda x: x)
    size = int(seconds * RATE)
    ref = [(spectrum(x, band), pitch(x)) for x in clips]
    right, total, wrong = 0, 0, []
    for i, x in enumerate(clips):
        y = through(x)
        for s in range(0, len(y) - size + 1, size // 2):
            part, rest = y[s:s + size], np.concatenate([x[:s], x[s + size:]])
            own = (spectrum(rest, band), pitch(rest))
            sp, pi = spectrum(part, band), pitch(part)
            d = [np.hypot(rms(sp - r[0]) / DB, semitones(pi, r[1]) / SEMITONES)
                 for r in (own if k == i else ref[k] for k in range(len(clips)))]
            best = int(np.argmin(d))
            total += 1
            right += best == i
            if best != i:
                wrong.append(f"{names[i]} taken for {names[best]}")
    return right, total, wrong


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    files = sorted(glob.glob(os.path.join(folder, "[0-9][0-9]-*.wav")))
    names = [os.path.basename(f)[:-4] for f in files]
    clips, bad = [load(f) for f in files], []
    pitches = [pitch(x) for x in clips]
    print("file           seconds  peak dBFS  RMS dBFS  pitch Hz  start/end ms  pauses ms")
    for n, x, p in zip(names, clips, pitches):
        peak, (a, b, inside) = 20 * np.log10(np.abs(x).max()), silences(x)
        print(f"{n:14s} {len(x) / RATE:7.2f} {peak:10.2f} {10 * np.log10((x**2).mean()):9.1f} {p:9.0f}  {a:5d}/{b:<6d} {inside}")
        if not 6 <= len(x) / RATE <= 8 or abs(peak + 3) > 0.1 or max(a, b) > 100 or not any(200 <= m <= 400 for m in inside):
            bad.append(n)
        if any(m > 400 for m in inside):
            bad.append(n + " (long pause)")
    wide = [spectrum(x, "wide") for x in clips]
    phone = [spectrum(mulaw(x), "phone") for x in clips]
    rows = []
    for i, j in itertools.combinations(range(len(names)), 2):
        st = semitones(pitches[i], pitches[j])
        dw, dn = rms(wide[i] - wide[j]), rms(phone[i] - phone[j])
        rows.append((np.hypot(dw / DB, st / SEMITONES), np.hypot(dn / DB, st / SEMITONES), dw, dn, st,
                     correlation(clips[i], clips[j]), names[i], names[j]))
    print(f"\n{len(rows)} pairs. Nearest first:\n  wide phone  spectrum dB (wide, phone)  semitones  correlation")
    for r in sorted(rows, key=lambda r: min(r[0], r[1]))[:12]:
        print("  %4.2f  %4.2f  %8.1f %8.1f %17.1f %12.3f   %s %s" % r)
    for k, label in ((0, "wide"), (1, "phone")):
        v = [r[k] for r in rows]
        print(f"distance, {label}: smallest {min(v):.2f}, median {np.median(v):.2f}, largest {max(v):.2f}")
    top = sorted(rows, key=lambda r: -r[5])[:3]
    print("largest cross-correlation:", ", ".join(f"{r[5]:.3f} ({r[6]}, {r[7]})" for r in top))
    bad += [f"{r[6]}/{r[7]} correlate {r[5]:.2f}" for r in rows if r[5] >= 0.3]
    half = [(rms(spectrum(x[:len(x) // 2], "wide") - spectrum(x[len(x) // 2:], "wide")),
             semitones(pitch(x[:len(x) // 2]), pitch(x[len(x) // 2:]))) for x in clips]
    print("within one voice, first half against second half: median %.1f dB and %.1f semitones" % tuple(np.median(half, axis=0)))
    for band in BANDS:
        for seconds in (1, 2, 3):
            right, total, wrong = recognise(names, clips, band, seconds)
            print(f"windows of {seconds} s recognised, {band}: {right} of {total}" + (f"  ({'; '.join(wrong)})" if 0 < len(wrong) < 4 else ""))
    print("\nlimits broken: " + "; ".join(bad) if bad else "\nall limits kept")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
