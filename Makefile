# SPDX-License-Identifier: ISC
# Builds, checks and installs mailproxy. `make help` lists what there is to do.

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
CC = gcc
PYTHON = /usr/bin/python3

# ---- Debian packages: the one list of them -----------------------------------------------------

BUILD_PACKAGES = gcc libc6-dev make pkg-config libevent-dev libgnutls28-dev libconfig-dev \
	libncurses-dev libssl-dev libgmp-dev libjansson-dev libsqlite3-dev libcrypt-dev libseccomp-dev \
	libcap-ng-dev libhiredis-dev
DEMO_PACKAGES = $(BUILD_PACKAGES) python3 openssl dovecot-core dovecot-imapd dovecot-pop3d \
	dovecot-lmtpd dovecot-submissiond dovecot-managesieved dovecot-sieve
CHECK_PACKAGES = $(DEMO_PACKAGES) libcmocka-dev python3-pytest python3-pytest-xdist python3-flask python3-jsonschema curl tmux procps \
	nginx libnginx-mod-mail redis-server redis-tools redis-sentinel iproute2 prometheus fail2ban zsh fish socat jq git swaks libnet-ssleay-perl isync fetchmail msmtp neomutt e2fsprogs valgrind strace
LINT_PACKAGES = $(BUILD_PACKAGES) libcmocka-dev python3 git cppcheck clang-format shellcheck universal-ctags man-db mandoc
FUZZ_PACKAGES = $(BUILD_PACKAGES) clang libclang-rt-dev llvm
DEB_PACKAGES = $(BUILD_PACKAGES) build-essential git debhelper dh-apparmor lintian
BENCH_PACKAGES = $(BUILD_PACKAGES) python3 openssl nginx libnginx-mod-mail haproxy dovecot-core \
	dovecot-imapd dovecot-pop3d dovecot-submissiond strace valgrind

# ---- variants ----------------------------------------------------------------------------------

SAN ?=
ifeq ($(SAN),address)
BUILD = build-address
SAN_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(SAN),thread)
BUILD = build-thread
SAN_FLAGS = -fsanitize=thread -fno-omit-frame-pointer
else ifeq ($(SAN),fuzz)
BUILD = build-fuzz
CC = clang
# What gcc warns of is the rule; clang sees other things. It has no macro for the sanitizer as gcc has: with that no blocks of memory are
# kept for the next owner, in which the use of what was freed is not seen.
SAN_FLAGS = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -D__SANITIZE_ADDRESS__=1 -w
else ifeq ($(SAN),cover)
BUILD = build-cover
CC = clang
SAN_FLAGS = -fprofile-instr-generate -fcoverage-mapping -w
else ifeq ($(SAN),)
BUILD = build
HARDENING = -D_FORTIFY_SOURCE=2
else
$(error SAN is "address", "thread", "fuzz", "cover" or nothing)
endif
export MAILPROXY_BUILD = $(CURDIR)/$(BUILD)

VERSION := $(shell sed -n 's/^## \([0-9][0-9.]*\).*/\1/p' CHANGELOG.md | head -1)

OPTIMISE ?= -O2 -g
# A compiler or library newer than those that this is tried with may warn of more: WERROR= builds all the same.
WERROR ?= -Werror
WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 $(WERROR)
PKGS = libevent libevent_pthreads gnutls libcrypto libconfig jansson sqlite3 libcrypt libseccomp libcap-ng hiredis ncursesw
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CPPFLAGS += -D_GNU_SOURCE -Idaemon -I. -include tests/lint/banned.h -DMAILPROXY_VERSION='"$(VERSION)"' \
	-DMAILPROXY_SYSCONFDIR='"$(SYSCONFDIR)"' $(HARDENING)
CFLAGS += -std=c17 $(OPTIMISE) $(WARNINGS) -fPIE -fstack-protector-strong $(SAN_FLAGS) $(PKG_CFLAGS)
LDFLAGS += -pie -Wl,-z,relro,-z,now $(SAN_FLAGS)

BASE_LIBS = -lpthread
DAEMON_LIBS = -levent_core -levent_extra -levent_pthreads -lgnutls -lgmp -lcrypto -lconfig -ljansson -lsqlite3 -lcrypt \
	-lseccomp -lcap-ng -lhiredis $(BASE_LIBS)
CTL_LIBS = -ljansson $(BASE_LIBS)
TUI_LIBS = -lncursesw -ltinfo -lconfig $(CTL_LIBS)

# ---- what is built -----------------------------------------------------------------------------

# From the top floor to the lowest: the order of linking.
FLOORS = supervisor engine control control/user control/backend fleet/commands fleet/live fleet/limits fleet \
	ops peers runtime/rules runtime/history runtime rpc limits session/admin session fleet/pins backend auth store nginx init config io/http io/redis io io/tls \
	proto/registry proto/imap proto/pop3 proto/smtp proto/sieve proto proto/sasl \
	sandbox base/log base/os base/container base
floor_file = $(BUILD)/libmp_$(subst /,_,$(1)).a
floor_files = $(foreach f,$(1),$(call floor_file,$(f)))
FLOOR_LIBS = $(call floor_files,$(FLOORS))
# What ctl and tui link of the daemon.
BASE_FLOORS = $(call floor_files,$(filter base base/%,$(FLOORS)))
obj = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)/*.c))

PROGRAMS = $(if $(wildcard daemon/main.c),$(BUILD)/mailproxyd) $(if $(wildcard ctl/main.c),$(BUILD)/mailproxyctl) \
	$(if $(wildcard tui/main.c),$(BUILD)/mailproxy-tui)
UNIT_SOURCES = $(wildcard tests/unit/*/test_*.c tests/unit/*/*/test_*.c)
UNIT_TESTS = $(patsubst tests/%.c,$(BUILD)/%,$(UNIT_SOURCES))
FUZZ_SOURCES = $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_REPLAYS = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SOURCES))

.PHONY: all demo demo-fleet check check-fast unit fuzz fuzz-replay e2e hostile lint docs install uninstall clean help format
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS)

help:
	@sed -n 's/^#: //p' Makefile

#: make             build the three programs into build/
#: make demo        start a demonstration proxy with two Dovecot servers behind it
#: make demo-fleet  the same with three proxies that act as one, over a Redis
#: make check       build and run all tests (check-full: with 2000 sessions where it is 400)
#: make unit        only the unit tests (unit-FOLDER: those of one folder)
#: make e2e         only the end-to-end tests (K=expression picks some, as pytest -k)
#: make lint        style, floors, banned calls, static analysis
#: make fuzz        fuzz each target for FUZZ_SECONDS (60; needs clang) and tell its coverage; fuzz-replay: without clang
#: make bench       compare speed and memory with nginx, HAProxy and Dovecot (bench-quick: two minutes)
#: make scale       measure the control plane with 100,000 sessions
#: make fleet-scale  50 nodes and 1,000,000 users of a fleet against one Redis; then 100,000 users who are told to it again
#: make soak        MINUTES (60) of mixed load, kills, reloads, upgrades and outages at random from SEED (1)
#: make soak-graceful  ENDS (1000) graceful ends of each protocol: what do clients that come back find twice, or not at all?
#: make docs        generate what derives from the tables
#: make deb         Debian packages of the daemon and of the operators' tools, in build/packages
#: make install     into PREFIX (/usr/local), configuration into SYSCONFDIR (/etc); DESTDIR is honoured; uninstall
#: tests/fresh/run   both on a fresh Debian 12 or 13, as root or as a user
#: make clean       remove what was built
#: WERROR=: warnings of the compiler are no errors
#: SAN=address or SAN=thread: the same with sanitizers, in a folder of its own

# What builds before it does something else has a job for each processor, where make was not told.
JOBS = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

# V=1 shows the commands.
Q = $(if $(V),,@)
say = $(if $(V),,@echo "  $(1) $(2)")

# Other flags, another prefix or version: everything is compiled anew.
COMPILE = $(CC) $(CPPFLAGS) $(CFLAGS)
export FLAGS = $(COMPILE)
ifneq ($(strip $(file <$(BUILD)/flags)),$(strip $(COMPILE)))
$(BUILD)/flags: always
endif
$(BUILD)/flags:
	@mkdir -p $(@D)
	@printenv FLAGS >$@
always:
.PHONY: always

# A unit test is given a state by cmocka, which few of them want.
$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(if $(filter tests/unit/%,$<),-Wno-unused-parameter) -MMD -MP -c -o $@ $<

define floor_lib
$(call floor_file,$(1)): $(call obj,daemon/$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(foreach f,$(FLOORS),$(eval $(call floor_lib,$(f))))

# The table of commands is the daemon's.
CTL_OBJECTS = $(filter-out %/main.o,$(call obj,ctl)) $(BUILD)/daemon/rpc/commands.o
$(BUILD)/libmp_ctl.a: $(CTL_OBJECTS)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(BUILD)/libmp_tui.a: $(filter-out %/main.o,$(call obj,tui))
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/mailproxyd: $(call obj,daemon) $(FLOOR_LIBS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(call obj,daemon) -Wl,--start-group $(FLOOR_LIBS) -Wl,--end-group $(DAEMON_LIBS)
$(BUILD)/mailproxyctl: $(BUILD)/ctl/main.o $(BUILD)/libmp_ctl.a $(BASE_FLOORS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(CTL_LIBS)
$(BUILD)/mailproxy-tui: $(BUILD)/tui/main.o $(BUILD)/libmp_tui.a $(BUILD)/libmp_ctl.a $(BASE_FLOORS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(TUI_LIBS)

# ---- tests -------------------------------------------------------------------------------------

$(BUILD)/unit/ctl/%: $(BUILD)/tests/unit/ctl/%.o $(BUILD)/libmp_ctl.a $(BASE_FLOORS)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(CTL_LIBS)
$(BUILD)/unit/tui/%: $(BUILD)/tests/unit/tui/%.o $(BUILD)/libmp_tui.a $(BUILD)/libmp_ctl.a $(BASE_FLOORS)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(TUI_LIBS)
# A floor's tests link that floor and the lower ones, nothing above: the order holds for functions, too.
lower = $(if $(filter $(1),$(firstword $(2))),$(2),$(if $(2),$(call lower,$(1),$(wordlist 2,99,$(2)))))
libs_of = $(call floor_files,$(call lower,$(1),$(FLOORS)))
# The pure floors are tested with the cryptography that io lends them.
unit_libs = $(if $(filter proto proto/%,$(1)),$(call floor_files,$(filter io io/tls,$(FLOORS)))) $(call libs_of,$(1))
define unit_test
$(BUILD)/unit/$(1)/%: $(BUILD)/tests/unit/$(1)/%.o $(call unit_libs,$(1))
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$< -Wl,--start-group $(call unit_libs,$(1)) -Wl,--end-group -lcmocka $$(DAEMON_LIBS)
endef
$(foreach f,$(FLOORS),$(eval $(call unit_test,$(f))))

unit: $(UNIT_TESTS)
	@tests/setup/run-tests $^
define unit_folder
unit-$(1): $(filter $(BUILD)/unit/$(1)/%,$(UNIT_TESTS))
	@tests/setup/run-tests $$^
.PHONY: unit-$(1)
endef
$(foreach f,$(sort $(foreach s,$(UNIT_SOURCES),$(word 3,$(subst /, ,$(s))))),$(eval $(call unit_folder,$(f))))

# With clang the fuzzer brings its main function; replay.c is ours, for any compiler.
ifeq ($(SAN),fuzz)
FUZZ_MAIN = -fsanitize=fuzzer
else
FUZZ_MAIN = $(BUILD)/tests/fuzz/replay.o
endif
# The floor of a target, where it is not proto or io.
FUZZ_FLOOR_fuzz_command = rpc
FUZZ_FLOOR_fuzz_config = config
FUZZ_FLOOR_fuzz_session = session
FUZZ_FLOOR_fuzz_password = auth
FUZZ_FLOOR_fuzz_cert = auth
FUZZ_FLOOR_fuzz_takeover = supervisor
FUZZ_FLOOR_fuzz_words = supervisor
FUZZ_FLOOR_fuzz_control = control
FUZZ_FLOOR_fuzz_user_file = store
FUZZ_FLOOR_fuzz_nginx = nginx
fuzz_libs = $(call libs_of,$(or $(FUZZ_FLOOR_$(1)),$(firstword $(filter io%,$(FLOORS)))))
define fuzz_target
$(BUILD)/fuzz/$(1): $(BUILD)/tests/fuzz/$(1).o $(filter %.o,$(FUZZ_MAIN)) $(call fuzz_libs,$(1))
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$< $(FUZZ_MAIN) -Wl,--start-group $(call fuzz_libs,$(1)) -Wl,--end-group $$(DAEMON_LIBS)
endef
$(foreach t,$(notdir $(FUZZ_REPLAYS)),$(eval $(call fuzz_target,$(t))))

fuzz-replay: $(FUZZ_REPLAYS)
	@tests/fuzz/run-replay $^

FUZZ_SECONDS ?= 60
fuzz:
	@tests/setup/install-packages $(FUZZ_PACKAGES)
	@$(MAKE) --no-print-directory SAN=fuzz fuzz-programs
	@tests/fuzz/run build-fuzz $(FUZZ_SECONDS) $(notdir $(FUZZ_REPLAYS))
	@$(MAKE) --no-print-directory fuzz-coverage
fuzz-coverage:
	@$(MAKE) --no-print-directory SAN=cover fuzz-programs
	@tests/fuzz/coverage build-cover build-fuzz/fuzz/work $(notdir $(FUZZ_REPLAYS))
fuzz-programs: $(FUZZ_REPLAYS)
.PHONY: fuzz-programs fuzz-coverage

# The sanitizers' builds test what runs in C; the full set runs on the plain build.
# They wait most of the time, for clients, servers and timers. A file's tests stay together: they share servers.
E2E_JOBS = 4
PYTEST = $(PYTHON) -m pytest -q -n $(E2E_JOBS) --dist loadfile
e2e: all scale-tools
	$(PYTEST) $(if $(K),-k '$(K)') tests/e2e
# Attacks on a proxy with honest clients beside them; one file after the other, for they measure how long those wait.
hostile: all hostile-tools
	$(PYTHON) -m pytest -q $(if $(K),-k '$(K)') tests/hostile

check-packages:
	@tests/setup/install-packages $(CHECK_PACKAGES)
	@tests/setup/fetch-postfix $(BUILD)/postfix
check: check-packages
	@$(MAKE) --no-print-directory $(JOBS) check-installed
check-installed: all scale-tools hostile-tools bench-tools $(UNIT_TESTS) $(FUZZ_REPLAYS)
	@tests/setup/run-check $(BUILD) "$(PYTEST)" $(UNIT_TESTS) -- $(FUZZ_REPLAYS)
check-full: export MAILPROXY_LOAD_SESSIONS = 2000
check-full: check
.PHONY: check-installed check-full check-packages

demo:
	@tests/setup/install-packages $(DEMO_PACKAGES)
	@$(MAKE) --no-print-directory $(JOBS) all
	@$(PYTHON) tests/setup/demo.py $(BUILD)
demo-fleet:
	@tests/setup/install-packages $(DEMO_PACKAGES) redis-server redis-tools
	@$(MAKE) --no-print-directory $(JOBS) all
	@$(PYTHON) tests/setup/demo.py $(BUILD) --fleet

# ---- lint and generated files ------------------------------------------------------------------

lint:
	@tests/setup/install-packages $(LINT_PACKAGES)
	@$(MAKE) --no-print-directory $(JOBS) all
	@tests/lint/run $(BUILD)
# Without banned.h, which would lend its headers to those that forgot them.
print-flags:
	@: $(info $(filter-out -include tests/lint/banned.h,$(CPPFLAGS)) $(CFLAGS))
.PHONY: print-flags

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

docs: all
	@tests/setup/generate-docs $(BUILD)

-include tests/bench/Makefile.inc
-include tests/scale/Makefile.inc
-include tests/hostile/Makefile.inc
-include tests/soak/Makefile.inc

# ---- installation ------------------------------------------------------------------------------

BINDIR = $(DESTDIR)$(PREFIX)/bin
SBINDIR = $(DESTDIR)$(PREFIX)/sbin
MANDIR = $(DESTDIR)$(PREFIX)/share/man
ETCDIR = $(DESTDIR)$(SYSCONFDIR)/mailproxy

-include conf/Makefile.inc

clean:
	@rm -rf build build-address build-thread build-fuzz build-cover

-include $(shell find $(BUILD) -name '*.d' -type f 2>/dev/null)
