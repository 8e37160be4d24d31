# The short way to run, test and measure. Plain POSIX make: GNU make and BSD make both read it.
.POSIX:

PYTHON = python3
VENV = .venv
DOCROOT = mogdata
HTTP = 127.0.0.1:7500
MGMT = 127.0.0.1:7501
# Handed on: make test ARGS='-k trickle', make bench ARGS=--quick.
ARGS =

FILE = http://$(HTTP)/dev1/0/000/000/0000000001.fid

.PHONY: help run test kqueue lint types clean
.PHONY: bench bench-budgets bench-life bench-quick bench-growth bench-large
.PHONY: bench-balance bench-poller bench-isolation

help:
	@echo "make run     a node on $(HTTP), files below ./$(DOCROOT); Ctrl-C stops it"
	@echo "make test    the suite against the installed wheel"
	@echo "make kqueue  the same suite on the kqueue backend, on Linux"
	@echo "make lint    style;  make types  types"
	@echo "make bench   measurements against peers;  make bench-life  upgrades, starts, watchers"
	@echo "make bench-budgets  every budget of the node: goal, figure, verdict; 8 minutes"
	@echo "make bench-quick   the guard: a minute;  make bench-growth, make bench-large"
	@echo "make bench-balance  ways of accepting, queues;  make bench-poller  cost of mogpoll"
	@echo "make bench-isolation   what one bad disk does to the users of the others"
	@echo "make clean   remove what was built, installed and cached here (not ./$(DOCROOT))"
	@echo "PYTHON=...   the interpreter to make $(VENV) with, 3.11 or newer"

run: $(VENV)/.installed
	@mkdir -p $(DOCROOT)/dev1 $(DOCROOT)/dev2
	@echo "In another terminal:"
	@echo "  curl -i -X PUT --data-binary 'hello, mogile' $(FILE)"
	@echo "  curl -i $(FILE)"
	@exec $(VENV)/bin/mogstored --docroot $(DOCROOT) \
		--httplisten $(HTTP) --mgmtlisten $(MGMT) $(ARGS)

# Set-up speaks, then tox falls silent so that pytest's closing line is the last one.
test: $(VENV)/.tox
	@$(VENV)/bin/tox run -q -e py --notest
	@$(VENV)/bin/tox run -qq -e py --skip-pkg-install -- $(ARGS)

kqueue: $(VENV)/.tox
	@$(VENV)/bin/tox run -q -e kqueue --notest
	@$(VENV)/bin/tox run -qq -e kqueue --skip-pkg-install -- $(ARGS)

lint types: $(VENV)/.tox
	@$(VENV)/bin/tox run -q -e $@ -- $(ARGS)

bench: $(VENV)/.installed
	@$(VENV)/bin/python -m bench $(ARGS)

bench-budgets: $(VENV)/.installed
	@$(VENV)/bin/python -m bench.budgets $(ARGS)

bench-life: $(VENV)/.installed
	@$(VENV)/bin/python -m bench.life $(ARGS)

bench-quick: $(VENV)/.installed
	@$(VENV)/bin/python -m bench.quick $(ARGS)

bench-growth: $(VENV)/.installed
	@$(VENV)/bin/python -m bench.growth $(ARGS)

bench-large: $(VENV)/.installed
	@$(VENV)/bin/python -m bench.large $(ARGS)

# Without matplotlib it says how to have a picture, too.
bench-balance: $(VENV)/.installed
	@$(VENV)/bin/python -m bench.balance $(ARGS)

bench-poller: $(VENV)/.installed
	@$(VENV)/bin/python -m bench.poller $(ARGS)

# The file system of the bad disk is the tests'.
bench-isolation: $(VENV)/.installed
	@$(VENV)/bin/python -m bench.isolation $(ARGS)

clean:
	rm -rf $(VENV) .tox .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: $(VENV)/pyvenv.cfg pyproject.toml
	@echo "installing the node into $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--root-user-action=ignore -e .
	@touch $@

$(VENV)/.tox: $(VENV)/pyvenv.cfg tox.ini
	@echo "installing tox into $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--root-user-action=ignore 'tox>=4.24'
	@touch $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys' || { \
		echo "$(PYTHON) does not run: install Python 3.11 or newer, or name one: make PYTHON=..."; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "`$(PYTHON) --version` is too old: 3.11 or newer is needed, name one: make PYTHON=..."; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu:"; \
		echo "  apt-get install python3-venv"; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
