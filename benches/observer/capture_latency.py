#!/usr/bin/env python3
"""Latency of a run as a packet capture tells it, beside what Din recorded.

    capture_latency.py CAPTURE RUN_DIRECTORY

Shares no code and no clock reading with Din. It knows only the header of a media packet: type,
flags, payload length, ssrc, timestamp in milliseconds, sequence; 16 bytes, big endian. An answer
belongs to the frame whose timestamp it repeats.

- service latency: from the capture's time of the frame to that of its answer.
- response latency: from the frame's planned instant. The capture does not know the plan; but no frame
  is sent before its turn, and the timestamp of each says how long after the first its turn is. So
  the plan begins at the smallest of (time - turn) over a device's frames, late by the smallest send
  lag of the device.

Exit code: 0 when the counts are equal and p50 and p99 of both agree with run.json within 0.2 ms,
1 when not, 2 when the capture cannot be used.
"""

import json
import math
import struct
import sys

TOLERANCE_MS = 0.2
MAGICS = {0xA1B2C3D4: 1e-6, 0xA1B23C4D: 1e-9}
ETHERNET, RAW_IP = 1, 101
HEADER = struct.Struct(">BBHIII")


def fail(text):
    sys.exit(print(f"capture_latency: {text}", file=sys.stderr) or 2)


def datagrams(path):
    """Time in seconds, source port, destination port and payload of each UDP datagram over IPv4."""
    with open(path, "rb") as capture:
        header = capture.read(24)
        if len(header) < 24:
            fail(f"{path}: {len(header)} bytes, a pcap file begins with 24")
        for order in "<>":
            unit = MAGICS.get(struct.unpack(order + "I", header[:4])[0])
            if unit:
                break
        else:
            fail(f"{path}: begins with {header[:4].hex()}, which is no pcap file")
        link = struct.unpack(order + "I", header[20:])[0] & 0xFFFF
        if link not in (ETHERNET, RAW_IP):
            fail(f"{path}: link type {link}; known are Ethernet ({ETHERNET}) and raw IP ({RAW_IP})")
        while len(record := capture.read(16)) == 16:
            whole, part, length, _ = struct.unpack(order + "IIII", record)
            packet = capture.read(length)
            if link == ETHERNET:
                if packet[12:14] != b"\x08\x00":
                    continue
                packet = packet[14:]
            if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != 17:
                continue
            udp = packet[(packet[0] & 15) * 4 :]
            if len(udp) >= 8:
                source, destination = struct.unpack(">HH", udp[:4])
                # Seconds of a day: a double has too few digits for nanoseconds since 1970.
                yield whole % 86_400 + part * unit, source, destination, udp[8:]


def quantile(ordered, q):
    return ordered[max(math.ceil(q * len(ordered)), 1) - 1]


def main():
    if len(sys.argv) != 3:
        sys.exit(print(__doc__, file=sys.stderr) or 2)
    capture, directory = sys.argv[1:]
    with open(f"{directory}/run.json", encoding="utf-8") as file:
        record = json.load(file)
    media_port = int(record["target"]["announced"]["udp"].rsplit(":", 1)[1])
    sent, answered = {}, {}
    for at, source, destination, payload in datagrams(capture):
        if len(payload) < HEADER.size or payload[0] != 1 or media_port not in (source, destination):
            continue
        _, _, _, ssrc, timestamp, _ = HEADER.unpack(payload[: HEADER.size])
        side, device = (sent, source) if destination == media_port else (answered, destination)
        # The first of each: an answer that comes twice was there with the first.
        side.setdefault((device, ssrc), {}).setdefault(timestamp, at)
    if not sent:
        fail(f"no media packet to port {media_port} in {capture}")

    service, response = [], []
    for session, frames in sent.items():
        origin = min(frames)
        plan = {stamp: (stamp - origin) / 1e3 for stamp in frames}
        first = min(at - plan[stamp] for stamp, at in frames.items())
        for stamp, back in answered.get(session, {}).items():
            if stamp in frames:
                service.append((back - frames[stamp]) * 1e3)
                response.append((back - first - plan[stamp]) * 1e3)
    if not service:
        fail(f"{capture} has frames of {len(sent)} sessions and no answer to any")
    service.sort()
    response.sort()

    # With the run's whole traffic in the capture, both have seen the same answers.
    agree = len(service) == record["metrics"]["service_latency"]["count"]
    print(f"{'ms':<18}{'':>6}{'capture':>10}{'Din':>10}{'apart':>10}")
    for name, seen in (("response_latency", response), ("service_latency", service)):
        told = record["metrics"][name]
        for q, key in ((0.5, "p50"), (0.99, "p99")):
            observed = quantile(seen, q)
            apart = observed - told[key]
            agree &= abs(apart) <= TOLERANCE_MS
            print(f"{name:<18}{key:>6}{observed:>10.3f}{told[key]:>10.3f}{apart:>+10.3f}")
        print(f"{'':<18}{'n':>6}{len(seen):>10}{told['count']:>10}")
    print("agree" if agree else "DO NOT AGREE", "within", TOLERANCE_MS, "ms and on every answer")
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
