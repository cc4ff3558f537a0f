"""File names that servers propose, by RFC 6266 and RFC 8187 and as browsers read what is not by them."""

import pytest

from tests.wild.conftest import Serve, fetch
from tests.wild.server import File


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ('attachment; filename="plain.iso"', "plain.iso"),
        ("attachment; filename*=UTF-8''%e2%82%ac%20rates.iso; filename=\"EURO.iso\"", "€ rates.iso"),
        ("attachment; filename=\"EURO.iso\"; filename*=UTF-8''%e2%82%ac%20rates.iso", "€ rates.iso"),
        ("attachment; filename*=utf8''%e2%82%ac.iso", "€.iso"),
        ("attachment; filename*=\"UTF-8''%e2%82%ac.iso\"", "€.iso"),
        ("attachment; filename*=UTF-8''naïve.iso", "naïve.iso"),
        ("attachment; filename*=UTF-8'en'; filename=\"fallback.iso\"", "fallback.iso"),
        ("attachment; filename*=windows-1252''%80.iso", "€.iso"),
        ("attachment; filename*=''%e2%82%ac.iso", "€.iso"),
        ("attachment; filename*=ISO-8859-1''%e2%82%ac.iso", "â\x82¬.iso"),
        ("attachment; filename*=iso-2022-xx''%e2%82%ac.iso", "€.iso"),
        ("attachment; filename*=UTF-8''%ff.iso; filename=x.iso", "x.iso"),
        ('attachment; filename="a%20b.iso"', "a b.iso"),
        ('attachment; filename="100% x.iso"', "100% x.iso"),
        ('attachment; filename="=?UTF-8?B?4oKsLmlzbw==?="', "€.iso"),
        ('attachment; filename="=?utf-8?Q?na=C3=AFve_2=2Eiso?="', "naïve 2.iso"),
        ('attachment; filename="=?x?Z?!?="', "=?x?Z?!?="),
        ('attachment; filename="日本.iso"', "日本.iso"),
        ("attachment; filename=foo bar.iso", "foo bar.iso"),
        ("attachment; filename='foo.iso'", "foo.iso"),
        ('attachment; filename="..\\..\\foo.iso"', "..\\..\\foo.iso"),
        ('attachment; filename="C:\\dir\\foo.iso"', "C:\\dir\\foo.iso"),
        ('attachment; filename="a\\"b.iso"', 'a"b.iso'),
        ('filename="notype.iso"', "notype.iso"),
        ("filename=notype.iso", "notype.iso"),
        ('attachment;filename="foo.iso";', "foo.iso"),
        (';filename="foo.iso"', "foo.iso"),
        ('attachment filename="foo.iso"', "foo.iso"),
        ('attachment; FileName = "foo.iso"', "foo.iso"),
        ('inline; filename="in.iso"', "in.iso"),
        ('attachment; filename*0="long"; filename*1="name.iso"', "longname.iso"),
        ("attachment; filename*0*=UTF-8''%e2%82%ac; filename*1=.iso", "€.iso"),
        ("attachment; filename*0*=UTF-8''%e2%82; filename*1*=%ac.iso", "€.iso"),
        ("attachment; filename*=utf-7''+2AA-.iso", "?.iso"),  # half of a character: no file system, no message has it
        ('attachment; filename="=?unicode_escape?Q?=5Cud800?="', "?"),
        ('attachment; filename=""', ""),
        ('attachment; filename="foo.iso"; filename="evil.iso"', "foo.iso"),
        ("attachment; filename=foo;bar.iso", "foo"),
        ('attachment; filename="foo;bar.iso"', "foo;bar.iso"),
        ('attachment; filename="unterminated.iso', "unterminated.iso"),
        ("attachment; filename*=UTF-8''unterminated%2", "unterminated%2"),
        ("attachment", ""),
        ('attachment; name="n.iso"', ""),
        ("attachment; filename=a=b.iso", "a=b.iso"),
        ('attachment; size=3; filename="s.iso"; x="y"', "s.iso"),
    ],
)
def test_the_name_is_read_as_a_browser_reads_it(serve: Serve, field: str, name: str) -> None:
    file = File(b"x")
    server = serve(lambda request, reply: file(request, reply, f"Content-Disposition: {field}"))
    assert fetch(server.url()).probed.name == name
