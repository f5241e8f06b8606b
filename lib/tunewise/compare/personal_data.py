"""Personal data in texts: e-mail and network addresses, telephone numbers, bank accounts and payment cards.

What looks like one is looked for by a pattern; accounts and cards then have to pass their check digits (python-stdnum). Names and postal
addresses are not looked for.
"""

from __future__ import annotations

import ipaddress
import re

PATTERNS = {
    "an e-mail address": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[a-z]{2,24}\b", re.I),
    "a bank account (IBAN)": re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?\b"),
    "a payment card": re.compile(
        r"(?<![\d.-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}[ -]\d{6}[ -]\d{5}|\d{13,19})(?![\d-])"
    ),
    "an IP address": re.compile(
        r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{1,4}(?::{1,2}[0-9a-f]{1,4}){3,7})(?![\w:]|\.\d)",
        re.I,
    ),
    "a telephone number": re.compile(
        r"(?<![\w+.,/-])(?:(?:\+|00)[1-9]\d{0,2}|\(?0[1-9]\d{1,4}\)?(?=[ /-])|\(\d{3}\)|\d{3}(?=[-.]\d{3}[-.]\d{4}\b))(?:[ ()/.-]{0,2}\d){5,12}(?![\w-])"
    ),
}
SENSITIVE = ("a bank account (IBAN)", "a payment card")


def kinds(text: str) -> list[str]:
    """Which kinds of personal data a text seems to hold."""
    if not any(ch.isdigit() or ch == "@" for ch in text):
        return []
    found = []
    for kind, pattern in PATTERNS.items():
        if hits := [m.group() for m in pattern.finditer(text) if _genuine(kind, m.group())]:
            found.append(kind)
            for hit in hits:  # the digits of an account are no telephone number too
                text = text.replace(hit, " ")
    return found


def _genuine(kind: str, found: str) -> bool:
    from stdnum import iban, luhn

    if kind == "a payment card":
        digits = re.sub(r"\D", "", found)
        # the first digit of a card is its industry: 3 to 6 are travel and banking, 2 the newer Mastercards
        return digits[0] in "23456" and len(set(digits)) > 1 and bool(luhn.is_valid(digits))
    if kind == "a bank account (IBAN)":
        # the pattern may have run into the words behind
        words = found.split(" ")
        return any(iban.is_valid("".join(words[:k])) for k in range(1, len(words) + 1))
    if kind == "an IP address":
        try:
            ipaddress.ip_address(found)
        except ValueError:
            return False
        return found.count(".") == 3 or "::" in found or found.count(":") == 7
    return True
