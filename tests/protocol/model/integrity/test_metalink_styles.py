"""Metalink documents as the generators of large projects write them: read without loss, what is skipped is said.

Element for element after MirrorManager (Fedora), MirrorCache and mod_mirrorbrain (openSUSE, LibreOffice) and a
``?meta4`` of mirrorbits. aria2c, where it is installed, must find the same files and sizes in them.
"""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from protocol.model.integrity.metalink import Pieces, read_metalink


def digests(text: str) -> tuple[str, str, str, str]:
    return (
        hashlib.md5(text.encode()).hexdigest(),
        hashlib.sha1(text.encode()).hexdigest(),
        hashlib.sha256(text.encode()).hexdigest(),
        hashlib.sha512(text.encode()).hexdigest(),
    )


MD5, SHA1, SHA256, SHA512 = digests("the file")
OLD_MD5, OLD_SHA1, OLD_SHA256, OLD_SHA512 = digests("the file of yesterday")
PIECE_SHA1 = [hashlib.sha1(b"%d" % number).hexdigest() for number in range(4)]
SIGNATURE = "-----BEGIN PGP SIGNATURE-----\n\niQEzBAABCAAdFiEEAAAA==\n-----END PGP SIGNATURE-----\n"

FEDORA = f"""<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" pubdate="Mon, 30 Nov 2026 00:00:00 GMT" \
generator="mirrormanager" xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files>
  <file name="repomd.xml">
   <mm0:timestamp>1700000000</mm0:timestamp>
   <size>4321</size>
   <verification>
    <hash type="md5">{MD5}</hash>
    <hash type="sha1">{SHA1}</hash>
    <hash type="sha256">{SHA256}</hash>
    <hash type="sha512">{SHA512}</hash>
   </verification>
   <mm0:alternates>
    <mm0:alternate>
     <mm0:timestamp>1600000000</mm0:timestamp>
     <size>9999</size>
     <verification>
      <hash type="md5">{OLD_MD5}</hash>
      <hash type="sha1">{OLD_SHA1}</hash>
      <hash type="sha256">{OLD_SHA256}</hash>
      <hash type="sha512">{OLD_SHA512}</hash>
     </verification>
    </mm0:alternate>
   </mm0:alternates>
   <resources maxconnections="1">
    <url protocol="rsync" type="rsync" location="DE" preference="100">rsync://a.example/f/repodata/repomd.xml</url>
    <url protocol="http" type="http" location="DE" preference="99" mm0:private="True">http://a.example/f/repodata/repomd.xml</url>
    <url protocol="https" type="https" location="AT" preference="100">https://b.example/f/repodata/repomd.xml</url>
    <url protocol="ftp" type="ftp" location="AT" preference="98">ftp://b.example/f/repodata/repomd.xml</url>
   </resources>
  </file>
 </files>
</metalink>
"""

OPENSUSE = f"""<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <generator>MirrorCache</generator>
  <origin dynamic="true">http://download.example.org/tumbleweed/iso/openSUSE-NET.iso.meta4</origin>
  <published>2026-11-01 12:00:00 UTC</published>
  <publisher>
    <name>openSUSE</name>
    <url>http://download.example.org</url>
  </publisher>
  <file name="openSUSE-NET.iso">
    <size>1000000</size>
    <!-- <mtime>1700000000</mtime> -->
    <hash type="md5">{MD5}</hash>
    <hash type="sha-1">{SHA1}</hash>
    <hash type="sha-256">{SHA256}</hash>
    <hash type="sha-512">{SHA512}</hash>
    <pieces length="262144" type="sha-1">
      <hash>{PIECE_SHA1[0]}</hash>
      <hash>{PIECE_SHA1[1]}</hash>
      <hash>{PIECE_SHA1[2]}</hash>
      <hash>{PIECE_SHA1[3]}</hash>
    </pieces>
    <metaurl mediatype="torrent">http://download.example.org/tumbleweed/iso/openSUSE-NET.iso.torrent</metaurl>
    <!-- Mirrors which handle this country (DE): -->
    <url location="DE" priority="2">http://ftp.example.de/openSUSE-NET.iso</url>
    <url location="DE" priority="1">https://mirror.example.de/openSUSE-NET.iso?a=1&amp;b=2</url>
    <!-- Mirrors in other parts of the world: -->
    <url location="US" priority="10">http://mirror.example.com/openSUSE-NET.iso</url>
    <url location="US" priority="9">ftp://mirror.example.com/openSUSE-NET.iso</url>
    <!-- File origin location: -->
    <url location="CZ" priority="11">http://download.example.org/tumbleweed/iso/openSUSE-NET.iso</url>
  </file>
</metalink>
"""

OPENSUSE_V3 = f"""<?xml version="1.0" encoding="UTF-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" \
origin="http://download.example.org/iso/openSUSE-NET.iso.metalink" generator="MirrorCache" \
pubdate="2026-11-01 12:00:00 UTC">
  <publisher>
    <name>openSUSE</name>
    <url>http://download.example.org</url>
  </publisher>
  <files>
    <file name="openSUSE-NET.iso">
      <size>1000000</size>
      <verification>
        <hash type="md5">{MD5}</hash>
        <hash type="sha-1">{SHA1}</hash>
        <hash type="sha-256">{SHA256}</hash>
        <pieces length="262144" type="sha-1">
          <hash piece="0">{PIECE_SHA1[0]}</hash>
          <hash piece="1">{PIECE_SHA1[1]}</hash>
          <hash piece="2">{PIECE_SHA1[2]}</hash>
          <hash piece="3">{PIECE_SHA1[3]}</hash>
        </pieces>
      </verification>
      <resources>
        <url type="http" location="DE" preference="99">http://ftp.example.de/openSUSE-NET.iso</url>
        <url type="https" location="DE" preference="100">https://mirror.example.de/openSUSE-NET.iso</url>
        <!--http://download.example.org/iso/openSUSE-NET.iso-->
      </resources>
    </file>
  </files>
</metalink>
"""

LIBREOFFICE = f"""<?xml version="1.0" encoding="UTF-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/"
  origin="https://download.example.org/libreoffice/LibreOffice.tar.gz.metalink"
  generator="MirrorBrain 2.19.0 (see http://mirrorbrain.org/)"
  type="dynamic"  pubdate="Mon, 30 Nov 2026 00:00:00 GMT"  refreshdate="Mon, 30 Nov 2026 00:00:00 GMT">

  <files>
  <file name="LibreOffice.tar.gz">
    <size>1000000</size>

    <!-- <mtime>1700000000</mtime> -->

    <!-- internal id: 31347 -->
      <publisher>
        <name>The Document Foundation</name>
        <url>http://download.example.org</url>
      </publisher>
      <verification>
    <signature type="pgp" file="LibreOffice.tar.gz.asc">
{SIGNATURE}    </signature>
        <hash type="md5">{MD5}</hash>
        <hash type="sha1">{SHA1}</hash>
        <hash type="sha256">{SHA256}</hash>
        <pieces length="262144" type="zsync">
          <hash piece="0">0badcafe</hash>
          <hash piece="1">0badcafe</hash>
          <hash piece="2">0badcafe</hash>
          <hash piece="3">0badcafe</hash>
        </pieces>
        <pieces length="262144" type="sha1">
          <hash piece="1">{PIECE_SHA1[1]}</hash>
          <hash piece="0">{PIECE_SHA1[0]}</hash>
          <hash piece="2">{PIECE_SHA1[2]}</hash>
          <hash piece="3">{PIECE_SHA1[3]}</hash>
        </pieces>
      </verification>
    <resources>

    <url type="bittorrent" preference="100">https://download.example.org/LibreOffice.tar.gz.torrent</url>

    <!-- Found 3 mirrors: 0 in the same network prefix, 0 in the same autonomous system,
         1 handling this country, 1 in the same region, 1 elsewhere -->

    <!-- Mirrors which handle this country (DE): -->
      <url type="https" location="de" preference="100">https://mirror.example.de/LibreOffice.tar.gz</url>
      <url type="ftp" location="de" preference="99">ftp://mirror.example.de/LibreOffice.tar.gz</url>
      <url type="http" location="br" preference="0">http://mirror.example.br/LibreOffice.tar.gz</url>
      <url type="http" location="us" preference="98">http://mirror.example.us/LibreOffice.tar.gz</url>
    </resources>
    </file>
  </files>
</metalink>
"""

LIBREOFFICE_V4 = f"""<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <generator>MirrorBrain/2.19.0</generator>
  <origin dynamic="true">https://download.example.org/libreoffice/LibreOffice.tar.gz.meta4</origin>
  <published>2026-11-30T00:00:00Z</published>
  <file name="LibreOffice.tar.gz">
    <size>1000000</size>

    <signature mediatype="application/pgp-signature">
{SIGNATURE}    </signature>
    <hash type="md5">{MD5}</hash>
    <hash type="sha-1">{SHA1}</hash>
    <hash type="sha-256">{SHA256}</hash>
    <pieces length="262144" type="zsync">
      <hash>0badcafe</hash>
      <hash>0badcafe</hash>
      <hash>0badcafe</hash>
      <hash>0badcafe</hash>
    </pieces>
    <pieces length="262144" type="sha-1">
      <hash>{PIECE_SHA1[0]}</hash>
      <hash>{PIECE_SHA1[1]}</hash>
      <hash>{PIECE_SHA1[2]}</hash>
      <hash>{PIECE_SHA1[3]}</hash>
    </pieces>


    <!-- Meta URLs -->
    <metaurl mediatype="torrent">magnet:?xl=1000000&amp;dn=LibreOffice.tar.gz&amp;xt=urn:sha1:AAAA</metaurl>
    <url location="de" priority="1">https://mirror.example.de/LibreOffice.tar.gz</url>
    <url location="us" priority="2">http://mirror.example.us/LibreOffice.tar.gz</url>
    <url location="br" priority="3">http://mirror.example.br/LibreOffice.tar.gz</url>
  </file>
</metalink>
"""

MIRRORBITS = f"""
<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
<generator>Mirrorbits/0.6</generator>
<origin dynamic="true">https://get.example.org/vlc.tar.xz?meta4</origin>
<published>2026-11-30T00:00:00Z</published>
<file name="vlc.tar.xz"><identity>VLC</identity><version>3.0</version><language>en</language><os>Source</os>
<publisher name="VideoLAN" url="https://get.example.org"/><license>GPL</license><size>26000000</size>
<hash type="sha-256">{SHA256.upper()}</hash><hash type="sha-1"> {SHA1} </hash><hash type="md5">{MD5}</hash>
<url location="fr" priority="1"><![CDATA[https://mirror.example.fr/vlc.tar.xz]]></url>
<url location="ch" priority="2">
  https://mirror.example.ch/vlc.tar.xz
</url></file></metalink>
"""

WHOLE = (f"md5:{MD5}", f"sha1:{SHA1}", f"sha256:{SHA256}")
PIECES = Pieces("sha1", 262144, bytes.fromhex("".join(PIECE_SHA1)))
STYLES = {
    "fedora": (
        FEDORA,
        ("repomd.xml", 4321, (*WHOLE, f"sha512:{SHA512}"), None),
        ("https://b.example/f/repodata/repomd.xml", "http://a.example/f/repodata/repomd.xml"),
        ("1 list of other versions", "not fetched (rsync)", "not fetched (ftp)"),
    ),
    "opensuse": (
        OPENSUSE,
        ("openSUSE-NET.iso", 1000000, (*WHOLE, f"sha512:{SHA512}"), PIECES),
        (
            "https://mirror.example.de/openSUSE-NET.iso?a=1&b=2",
            "http://ftp.example.de/openSUSE-NET.iso",
            "http://mirror.example.com/openSUSE-NET.iso",
            "http://download.example.org/tumbleweed/iso/openSUSE-NET.iso",
        ),
        ("1 torrent", "not fetched (ftp)"),
    ),
    "opensuse version 3": (
        OPENSUSE_V3,
        ("openSUSE-NET.iso", 1000000, WHOLE, PIECES),
        ("https://mirror.example.de/openSUSE-NET.iso", "http://ftp.example.de/openSUSE-NET.iso"),
        (),
    ),
    "libreoffice": (
        LIBREOFFICE,
        ("LibreOffice.tar.gz", 1000000, WHOLE, PIECES),
        (
            "https://mirror.example.de/LibreOffice.tar.gz",
            "http://mirror.example.us/LibreOffice.tar.gz",
            "http://mirror.example.br/LibreOffice.tar.gz",
        ),
        ("1 torrent", "1 signature", "1 list of pieces with digests of an unknown kind", "not fetched (ftp)"),
    ),
    "libreoffice version 4": (
        LIBREOFFICE_V4,
        ("LibreOffice.tar.gz", 1000000, WHOLE, PIECES),
        (
            "https://mirror.example.de/LibreOffice.tar.gz",
            "http://mirror.example.us/LibreOffice.tar.gz",
            "http://mirror.example.br/LibreOffice.tar.gz",
        ),
        ("1 torrent", "1 signature", "1 list of pieces with digests of an unknown kind"),
    ),
    "mirrorbits": (
        MIRRORBITS,
        ("vlc.tar.xz", 26000000, (f"sha256:{SHA256}", f"sha1:{SHA1}", f"md5:{MD5}"), None),
        ("https://mirror.example.fr/vlc.tar.xz", "https://mirror.example.ch/vlc.tar.xz"),
        (),
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_a_generators_document_is_read_without_loss(style: str) -> None:
    text, what, urls, left_out = STYLES[style]
    read = read_metalink(text.encode(), base="https://download.example.org/x.meta4")
    (file,) = read.files
    assert (file.name, file.size_bytes, file.checksums, file.pieces) == what
    assert file.urls == urls, "the best first"
    assert file.described_at == ()
    assert len(read.notes) == len(left_out), read.notes
    for words in left_out:
        assert any(words in note for note in read.notes), (words, read.notes)


@pytest.mark.skipif(shutil.which("aria2c") is None, reason="aria2c is not installed")
@pytest.mark.parametrize("style", STYLES)
def test_aria2_finds_the_same_file_in_it(style: str, tmp_path: Path) -> None:
    text, (name, size_bytes, _, _), _, _ = STYLES[style]
    place = tmp_path / "x.metalink"
    place.write_text(text.strip())
    shown = subprocess.run(["aria2c", "--no-conf", "-S", place], capture_output=True, text=True, check=True).stdout
    assert f"|{name}\n" in shown, shown
    assert re.search(rf"\({size_bytes:,}\)", shown), shown
