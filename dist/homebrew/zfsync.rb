# Untested. For a tap: put in the address and the SHA-256 of the source archive (from SHA256SUMS), then
# `brew install --build-from-source ./zfsync.rb`.
class Zfsync < Formula
  desc "Replication of ZFS datasets over SSH"
  homepage "https://example.org/zfsync"
  url "https://example.org/zfsync/zfsync-0.1.0-source.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "BSD-2-Clause"

  depends_on "rust" => :build
  depends_on :linux

  def install
    system "cargo", "install", *std_cargo_args
    man1.install Dir["man/*.1"]
    man5.install Dir["man/*.5"]
    bash_completion.install "completions/zfsync.bash" => "zfsync"
    zsh_completion.install "completions/_zfsync"
    fish_completion.install "completions/zfsync.fish"
  end

  test do
    assert_match "zfsync #{version}", shell_output("#{bin}/zfsync --version")
  end
end
