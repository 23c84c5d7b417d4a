# Untested. From a checkout: nix-build -E '(import <nixpkgs> { }).callPackage ./dist/nix/package.nix { }'
{
  lib,
  rustPlatform,
  installShellFiles,
  makeWrapper,
  openssh,
}:

rustPlatform.buildRustPackage {
  pname = "zfsync";
  version = "0.1.0";
  src = lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;

  nativeBuildInputs = [
    installShellFiles
    makeWrapper
  ];
  # The tests start an sshd and look for tools in the usual places, which a build has not.
  doCheck = false;

  postInstall = ''
    installManPage man/*
    installShellCompletion --cmd zfsync \
      --bash completions/zfsync.bash --zsh completions/_zfsync --fish completions/zfsync.fish
    # The system's own zfs comes first: it has to fit the kernel module.
    wrapProgram $out/bin/zfsync --suffix PATH : ${lib.makeBinPath [ openssh ]}
    for unit in dist/systemd/*; do
      install -D -m 644 "$unit" "$out/lib/systemd/system/''${unit##*/}"
      substituteInPlace "$out/lib/systemd/system/''${unit##*/}" --replace-quiet /usr/local/bin/zfsync $out/bin/zfsync
    done
  '';

  meta = {
    description = "Replication of ZFS datasets over SSH";
    license = lib.licenses.bsd2;
    mainProgram = "zfsync";
    platforms = lib.platforms.linux ++ lib.platforms.freebsd;
  };
}
