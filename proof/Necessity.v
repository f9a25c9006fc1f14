(* SPDX-License-Identifier: Apache-2.0 *)
(** An optimum has the form (4) where the cost term has a gradient: it is optimal for the cost term made linear,
    whose one optimum has that form. *)
From Coq Require Import Reals Arith Lra Lia.
From Thermoe Require Import ProblemStatement Sums Entropy Convexity Optimality Threshold.
Open Scope R_scope.

Lemma gradient_is_subgradient p n b :
  convex (in_range p) (cost p) -> in_range p n -> gradient p n b -> subgradient p n b.
Proof.
  intros HF Hn Hg y Hy. set (rate := paid p b (difference y n)). apply Rnot_lt_le. intros H.
  set (gap := (cost p n + rate - cost p y) / 2).
  destruct (Hg y Hy gap ltac:(unfold gap; lra)) as (small & Hs & G).
  set (a := Rmin (1 / 2) (small / 2)).
  assert (0 < a < small /\ a <= 1 / 2) as [Ha Ha1]
    by (unfold a, Rmin; destruct (Rle_dec (1 / 2) (small / 2)); lra).
  pose proof (G a Ha ltac:(lra)) as Q. fold rate in Q.
  pose proof (HF a y n ltac:(lra) Hy Hn) as C.
  pose proof (Rle_abs (- (cost p (mix a y n) - cost p n - a * rate))) as A. rewrite Rabs_Ropp in A.
  unfold gap in *. nra.
Qed.

Lemma choice m (P : nat -> R -> Prop) :
  (forall i, (i < m)%nat -> exists r, P i r) -> exists f, forall i, (i < m)%nat -> P i (f i).
Proof.
  induction m as [| m IH]; intros H; [exists (fun _ => 0); lia |].
  destruct IH as [f Hf]; [intros; apply H; lia |]. destruct (H m ltac:(lia)) as [r Hr].
  exists (fun i => if (i =? m)%nat then r else f i). intros i Hi.
  destruct (Nat.eqb_spec i m) as [-> | ]; [exact Hr | apply Hf; lia].
Qed.

Lemma priced_convex p b : convex (in_range (priced p b)) (cost (priced p b)).
Proof.
  intros a m n _ _ _. simpl. unfold paid. rewrite <- sum2_mix. right. apply sum2_ext. intros. unfold mix. ring.
Qed.

Lemma optimum_of_priced p x b : 0 < tau p -> gradient p (loads p x) b -> minimiser p x -> minimiser (priced p b) x.
Proof.
  intros Htau Hg [Hx Mx]. split; [exact Hx |]. intros y Hy. apply Rnot_lt_le. intros H.
  set (gap := objective (priced p b) x - objective (priced p b) y) in *. assert (0 < gap) by (unfold gap; lra).
  destruct (Hg _ (loads_in_range p y Hy) (gap / 2) ltac:(lra)) as (small & Hs & G).
  set (a := Rmin (1 / 2) (small / 2)).
  assert (0 < a < small /\ a <= 1 / 2) as [Ha Ha1]
    by (unfold a, Rmin; destruct (Rle_dec (1 / 2) (small / 2)); lra).
  pose proof (G a Ha ltac:(lra)) as Q. rewrite <- loads_mix in Q.
  assert (feasible p (mix a y x)) as Hm by (apply feasible_set_convex; auto; lra).
  pose proof (Mx _ Hm) as M.
  pose proof (objective_convex (priced p b) (priced_convex p b) (Rlt_le _ _ Htau) a y x ltac:(lra) Hy Hx) as C.
  pose proof (Rle_abs (cost p (loads p (mix a y x)) - cost p (loads p x) -
    a * paid p b (difference (loads p y) (loads p x)))) as A.
  assert (paid p b (loads p (mix a y x)) =
          paid p b (loads p x) + a * paid p b (difference (loads p y) (loads p x))) as L.
  { unfold paid. rewrite loads_mix, <- sum2_scale, <- sum2_plus. apply sum2_ext. intros.
    unfold mix, difference. ring. }
  assert (forall w, objective p w - objective (priced p b) w =
    cost p (loads p w) - paid p b (loads p w)) as D
    by (intros; unfold objective, priced; simpl; unfold paid, loads; simpl; ring).
  pose proof (D x). pose proof (D (mix a y x)). unfold gap in *. nra.
Qed.

Theorem prices_have_their_router : Prices_have_their_router.
Proof.
  intros p b Htau Hk.
  destruct (choice (rows p) (fun i t =>
    sum (experts p) (fun e => if own p i e then sigma ((u p i e - b (layer p i) e - t) / tau p) else 0) = k p i))
    as [mu Hmu].
  { intros i Hi.
    destruct (threshold_exists (experts p) (own p i) (fun e => u p i e - b (layer p i) e) _ _ Htau (Hk i Hi))
      as (t & Ht & _). now exists t. }
  exists (fun i e => if own p i e then sigma ((u p i e - b (layer p i) e - mu i) / tau p) else 0), mu.
  split; [| intros i e _ _; reflexivity].
  intros i Hi. split; [now apply Hmu |]. intros e He. split.
  - destruct (own p i e); [| lra]. pose proof (sigma_range ((u p i e - b (layer p i) e - mu i) / tau p)). lra.
  - intros ->. reflexivity.
Qed.

Theorem kkt : Kkt.
Proof.
  intros p x b Hw Htau HF Hk Hx Hg. split.
  2: { intros [mu Hf]. apply (sufficiency p x b mu); auto.
       apply gradient_is_subgradient; auto. now apply loads_in_range. }
  intros Hm. destruct (prices_have_their_router p b Htau Hk) as (z & mu & Hz & Hf). exists mu.
  assert (unique_minimiser (priced p b) z) as [_ U].
  { apply (sufficiency (priced p b) z b mu); auto.
    intros y _. simpl. unfold paid. rewrite <- sum2_plus. right. apply sum2_ext. intros.
    unfold difference, loads. simpl. ring. }
  pose proof (U x (optimum_of_priced p x b Htau Hg Hm)) as S.
  intros i e Hi He. rewrite <- (S i e Hi He). now apply Hf.
Qed.
